"""Gitea and Forgejo. https://docs.gitea.com/development/oauth2-provider

An access token lives for an hour. Whether a refresh replaces the refresh token is a setting of the server.
"""

from applinks.providers.places import host, path
from applinks.providers.profile import Provider, Scope

GITEA = Provider(
    key="gitea",
    name="Gitea / Forgejo",
    summary="Repositories of a Gitea or Forgejo, such as codeberg.org",
    authorization_endpoint="https://{host}{path}/login/oauth/authorize",
    token_endpoint="https://{host}{path}/login/oauth/access_token",  # noqa: S106 (an address)
    userinfo_endpoint="https://{host}{path}/login/oauth/userinfo",
    places=(
        host("git.example.com"),
        path("Where it isn't at the top of its host, such as /git."),
    ),
    default_scopes=("read:user",),
    usual_scopes=(
        Scope("read:user", "who the account is"),
        Scope("read:repository", "read repositories"),
        Scope("write:repository", "read and write repositories"),
        Scope("read:issue", "see issues"),
        Scope("write:issue", "create and change issues"),
    ),
    client_authentication="client_secret_post",
    guide=(
        "Open the avatar's menu, Settings, Applications (for a whole server: Site administration, Integrations).",
        "Under Manage OAuth2 applications give a name and paste {redirect_url} under Redirect URIs.",
        "Keep Confidential client ticked and choose Create application.",
        "Copy Client ID and Client secret at once: the secret isn't shown again.",
    ),
    documentation_url="https://docs.gitea.com/development/oauth2-provider",
    checked="2026-11-27",
    unchecked="what stands between scopes; GitHub's way of writing them is accepted as well",
)
