"""Bitbucket Cloud. https://developer.atlassian.com/cloud/bitbucket/oauth-2/

Scopes are ticked on the consumer, so that none need be asked for. An access token lives for two hours; whether its refresh
token ever changes was not checked against Bitbucket's pages.
"""

from applinks.providers.profile import Provider, Scope

BITBUCKET = Provider(
    key="bitbucket",
    name="Bitbucket Cloud",
    summary="Repositories and pull requests at bitbucket.org",
    authorization_endpoint="https://bitbucket.org/site/oauth2/authorize",
    token_endpoint="https://bitbucket.org/site/oauth2/access_token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.bitbucket.org/2.0/user",
    usual_scopes=(
        Scope("account", "who the account is"),
        Scope("repository", "read repositories"),
        Scope("repository:write", "write to repositories"),
        Scope("pullrequest", "read pull requests"),
    ),
    client_authentication="client_secret_basic",
    console_url="https://bitbucket.org/account/workspaces/",
    console_name="Bitbucket, Workspaces",
    guide=(
        "Open the workspace's settings, OAuth consumers, and choose Add consumer.",
        "Paste {redirect_url} as Callback URL.",
        "Tick the permissions: they are what tokens of this consumer may do, whatever Scopes says.",
        "Save, open the consumer and copy Key into Client ID and Secret into Client secret.",
    ),
    documentation_url="https://developer.atlassian.com/cloud/bitbucket/oauth-2/",
    checked="2026-11-27",
    unchecked="whether the refresh token is ever replaced",
)
