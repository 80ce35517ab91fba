"""GitLab, at gitlab.com or self-managed. https://docs.gitlab.com/api/oauth2/

An access token lives for two hours. A refresh replaces the refresh token; the old one is no longer accepted.
"""

from applinks.providers.places import host, path
from applinks.providers.profile import Provider, Scope

GITLAB = Provider(
    key="gitlab",
    name="GitLab",
    summary="Projects and merge requests, at gitlab.com or self-managed",
    authorization_endpoint="https://{host}{path}/oauth/authorize",
    token_endpoint="https://{host}{path}/oauth/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://{host}{path}/oauth/userinfo",
    revocation_endpoint="https://{host}{path}/oauth/revoke",
    places=(
        host("gitlab.example.com", default="gitlab.com"),
        path("Where GitLab isn't at the top of its host, such as /gitlab."),
    ),
    default_scopes=("openid", "email"),
    usual_scopes=(
        Scope("openid", "who the account is"),
        Scope("email", "its e-mail address"),
        Scope("read_api", "read all that the account can see"),
        Scope("read_repository", "read repositories"),
        Scope("api", "read and change all that the account can"),
    ),
    client_authentication="client_secret_basic",
    client_id_form="[0-9a-f]{64}",
    rotates=True,
    console_url="https://gitlab.com/-/user_settings/applications",
    console_name="GitLab, Applications",
    guide=(
        "On your own GitLab: open the avatar's menu, Preferences, Applications (for a whole instance: Admin, Applications).",
        "Choose Add new application and paste {redirect_url} as Redirect URI.",
        "Keep Confidential ticked and tick {scopes}.",
        "Choose Save application, then copy Application ID into Client ID and Secret into Client secret.",
    ),
    documentation_url="https://docs.gitlab.com/api/oauth2/",
    checked="2026-11-27",
    unchecked="whether a refresh replaces the refresh token, and the form of client IDs",
)
