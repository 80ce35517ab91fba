"""GitHub. https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps

It answers errors with HTTP 200, and with a form unless JSON is asked for; scopes come back with commas between them. A
token of an OAuth app has no expiry and no refresh token; that of a GitHub App lives for eight hours, with a refresh token
for six months that is replaced at each use. Ending a grant is no RFC 7009 there, so it is done in the account's settings.
The life of a refresh token was not checked against GitHub's pages from here.
"""

from applinks.providers.profile import Provider, Scope

GITHUB = Provider(
    key="github",
    name="GitHub",
    summary="Repositories, issues and organisations at github.com",
    authorization_endpoint="https://github.com/login/oauth/authorize",
    token_endpoint="https://github.com/login/oauth/access_token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.github.com/user",
    account="login",
    default_scopes=("read:user",),
    usual_scopes=(
        Scope("read:user", "who the account is"),
        Scope("user:email", "its e-mail addresses"),
        Scope("repo", "read and write repositories, private ones, too"),
        Scope("read:org", "see organisations and teams"),
        Scope("workflow", "change workflows of Actions"),
    ),
    client_authentication="client_secret_post",
    answer_separator=",",
    console_url="https://github.com/settings/developers",
    console_name="GitHub, Developer settings",
    client_id_form=r"Iv[0-9][A-Za-z0-9.]{16,20}|Ov[0-9]{2}[A-Za-z0-9]{16}|[0-9a-f]{20}",
    rotates=True,
    refresh_idle_life=182 * 86_400,
    guide=(
        "Under OAuth Apps choose New OAuth app. A GitHub App does as well; its tokens expire and are refreshed.",
        "Paste {redirect_url} as Authorization callback URL (of a GitHub App: Callback URL).",
        "Choose Register application and copy the Client ID.",
        "Choose Generate a new client secret and copy it at once: it isn't shown again.",
        "Scopes ({scopes}) are asked for when you connect; a GitHub App has permissions in their place.",
    ),
    documentation_url="https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps",
    checked="2026-11-27",
    unchecked="the life of a refresh token and the form of client IDs",
)
