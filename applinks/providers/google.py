"""Google. https://developers.google.com/identity/protocols/oauth2/web-server

Without `access_type=offline` and `prompt=consent` no refresh token comes, at the latest on the second consent.
The rules for redirect URLs and the userinfo endpoint were not checked against Google's pages from here.
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
    redirect_rule="Paste it under Authorized redirect URIs of an OAuth client of the type Web application.",
)
