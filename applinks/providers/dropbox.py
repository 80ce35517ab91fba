"""Dropbox. https://dropbox.tech/developers/using-oauth-2-0-with-offline-access

Without `token_access_type=offline` no refresh token comes; it isn't replaced. An access token lives for about four hours.
The account is told to a POST only, so that it isn't shown here; a grant is ended by a call of Dropbox's own.
"""

from applinks.providers.profile import Provider, Scope

DROPBOX = Provider(
    key="dropbox",
    name="Dropbox",
    summary="Files at dropbox.com",
    authorization_endpoint="https://www.dropbox.com/oauth2/authorize",
    token_endpoint="https://api.dropboxapi.com/oauth2/token",  # noqa: S106 (an address)
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
    redirect_rule="Paste it under Settings, OAuth 2, Redirect URIs.",
)
