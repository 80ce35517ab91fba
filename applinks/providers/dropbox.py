"""Dropbox. https://dropbox.tech/developers/using-oauth-2-0-with-offline-access

Without `token_access_type=offline` no refresh token comes; it isn't replaced. An access token lives for about four hours.
The account is told to a POST only; a grant is ended by a call of Dropbox's own.
"""

from applinks.providers.profile import Provider, Scope

DROPBOX = Provider(
    key="dropbox",
    name="Dropbox",
    summary="Files at dropbox.com",
    authorization_endpoint="https://www.dropbox.com/oauth2/authorize",
    token_endpoint="https://api.dropboxapi.com/oauth2/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.dropboxapi.com/2/users/get_current_account",
    userinfo_body="",
    usual_scopes=(
        Scope("account_info.read", "who the account is"),
        Scope("files.metadata.read", "see files and folders"),
        Scope("files.content.read", "read files"),
        Scope("files.content.write", "write files"),
    ),
    authorization_parameters=(("token_access_type", "offline"),),
    client_authentication="client_secret_post",
    console_url="https://www.dropbox.com/developers/apps",
    console_name="Dropbox App Console",
    rotates=False,
    guide=(
        "Choose Create app, Scoped access, and which folders it may use.",
        "Under Settings, OAuth 2, Redirect URIs, paste {redirect_url} and choose Add.",
        "Under Permissions tick {scopes} and choose Submit.",
        "Under Settings copy App key into Client ID and App secret into Client secret.",
    ),
    documentation_url="https://developers.dropbox.com/oauth-guide",
    checked="2026-11-27",
    unchecked="the userinfo endpoint",
)
