"""Zoom. https://developers.zoom.us/docs/integrations/oauth/

Scopes are chosen in the app's settings there, so that none need be asked for. A refresh token lives for about 90 days and
for one use. The endpoints were read in public catalogues, not on Zoom's pages.
"""

from applinks.providers.profile import Provider, Scope

ZOOM = Provider(
    key="zoom",
    name="Zoom",
    summary="Meetings and users at zoom.us",
    authorization_endpoint="https://zoom.us/oauth/authorize",
    token_endpoint="https://zoom.us/oauth/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.zoom.us/v2/users/me",
    revocation_endpoint="https://zoom.us/oauth/revoke",
    usual_scopes=(
        Scope("user:read:user", "who the account is"),
        Scope("meeting:read:meeting", "see meetings"),
    ),
    client_authentication="client_secret_basic",
    console_url="https://marketplace.zoom.us/user/build",
    console_name="Zoom App Marketplace",
    rotates=True,
    refresh_idle_life=90 * 86_400,
    guide=(
        "Choose Develop, Build App, General App.",
        "Under Basic Information paste {redirect_url} as OAuth Redirect URL and into the OAuth Allow List.",
        "Under Scopes add what the link is to do; tokens have all that is ticked there.",
        "Copy Client ID and Client Secret from App Credentials.",
    ),
    documentation_url="https://developers.zoom.us/docs/integrations/oauth/",
    checked="2026-11-27",
    unchecked="the endpoints",
)
