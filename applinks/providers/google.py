"""Google. https://developers.google.com/identity/protocols/oauth2/web-server

Without `access_type=offline` and `prompt=consent` no refresh token comes, at the latest on the second consent.
A consent screen in Testing ends every grant after seven days. The refresh token isn't replaced, and dies after six months
unused.
"""

from applinks.providers.profile import Provider, Scope

GOOGLE = Provider(
    key="google",
    name="Google",
    summary="Gmail, Calendar, Drive and the rest of a Google account",
    authorization_endpoint="https://accounts.google.com/o/oauth2/v2/auth",
    token_endpoint="https://oauth2.googleapis.com/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://openidconnect.googleapis.com/v1/userinfo",
    revocation_endpoint="https://oauth2.googleapis.com/revoke",
    issuer="https://accounts.google.com",
    default_scopes=("openid", "email"),
    usual_scopes=(
        Scope("openid", "who the account is"),
        Scope("email", "its e-mail address"),
        Scope("https://mail.google.com/", "read, send and delete mail"),
        Scope("https://www.googleapis.com/auth/calendar.readonly", "see calendars"),
        Scope("https://www.googleapis.com/auth/drive.readonly", "see files"),
    ),
    authorization_parameters=(("access_type", "offline"), ("prompt", "consent")),
    client_authentication="client_secret_post",
    console_url="https://console.cloud.google.com/apis/credentials",
    console_name="Google Cloud console, Credentials",
    refuses_private_redirects=True,
    client_id_form=r"[0-9]+-[0-9a-z]+\.apps\.googleusercontent\.com",
    rotates=False,
    refresh_idle_life=182 * 86_400,
    tells_redirect=True,
    guide=(
        "Choose Create credentials, OAuth client ID, and Web application as its type.",
        "Under Authorized redirect URIs choose Add URI and paste {redirect_url}",
        "Choose Create, then copy Client ID and Client secret into the fields below.",
        "Under OAuth consent screen, Data access, add {scopes}.",
        "Under Audience choose Publish app: while it is in Testing, every connection ends after seven days.",
    ),
    documentation_url="https://developers.google.com/identity/protocols/oauth2/web-server",
    checked="2026-11-27",
    unchecked="the userinfo endpoint and the form of client IDs",
)
