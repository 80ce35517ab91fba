"""Slack. https://docs.slack.dev/authentication/installing-with-oauth

Scopes are a bot's and written with commas; a user's own are an extra authorization parameter, `user_scope`, and their token
then stands in `authed_user`. Errors come with HTTP 200. Tokens have no end unless token rotation is switched on for the app,
which can't be taken back: then they live for twelve hours, and a refresh token for one use.
"""

from applinks.providers.profile import Provider, Scope

SLACK = Provider(
    key="slack",
    name="Slack",
    summary="Channels and messages at slack.com",
    authorization_endpoint="https://slack.com/oauth/v2/authorize",
    token_endpoint="https://slack.com/api/oauth.v2.access",  # noqa: S106 (an address)
    userinfo_endpoint="https://slack.com/api/auth.test",
    account="team",
    default_scopes=("channels:read",),
    usual_scopes=(
        Scope("channels:read", "see public channels"),
        Scope("channels:history", "read public channels that it was added to"),
        Scope("chat:write", "send messages"),
        Scope("users:read", "see people"),
    ),
    client_authentication="client_secret_basic",
    scope_separator=",",
    token_types=("bot", "user", "bearer"),
    nested="authed_user",
    client_id_form=r"[0-9]+\.[0-9]+",
    rotates=True,
    console_url="https://api.slack.com/apps",
    console_name="Slack, Your apps",
    guide=(
        "Choose Create New App, From scratch, and its workspace.",
        "Under OAuth & Permissions, Redirect URLs, choose Add New Redirect URL, paste {redirect_url} and choose Save URLs.",
        "Under Scopes, Bot Token Scopes, add {scopes}.",
        "Under Basic Information, App Credentials, copy Client ID and Client Secret.",
    ),
    refuses_http_redirects=True,
    documentation_url="https://docs.slack.dev/authentication/installing-with-oauth",
    checked="2026-11-27",
    unchecked="the form of client IDs and whether plain http is refused",
)
