"""Microsoft Entra ID. https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow

A refresh without a scope is refused (AADSTS90014); without `offline_access` no refresh token comes. A refresh gives a new
refresh token and leaves the old one alive. In the clouds of the US government and of China, scopes of Microsoft Graph begin
with that cloud's address.
"""

from applinks.providers.places import Choice, Place
from applinks.providers.profile import Provider, Scope

_CLOUDS = (
    Choice("global", "Global", (("login", "login.microsoftonline.com"), ("graph", "graph.microsoft.com"))),
    Choice("us", "US government", (("login", "login.microsoftonline.us"), ("graph", "graph.microsoft.us"))),
    Choice(
        "china",
        "China (21Vianet)",
        (("login", "login.partner.microsoftonline.cn"), ("graph", "microsoftgraph.chinacloudapi.cn")),
    ),
)
_TENANT = "common, organizations, consumers, the directory's GUID or one of its domains"

MICROSOFT = Provider(
    key="microsoft",
    name="Microsoft",
    summary="Microsoft 365, Outlook, Teams and Entra ID accounts",
    authorization_endpoint="https://{login}/{tenant}/oauth2/v2.0/authorize",
    token_endpoint="https://{login}/{tenant}/oauth2/v2.0/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://{graph}/oidc/userinfo",
    places=(
        Place("tenant", f"{_TENANT}.", f"The tenant must be {_TENANT}."),
        Place("cloud", "Where the directory is.", "Choose one of the clouds.", default="global", choices=_CLOUDS),
    ),
    grant_types=("authorization_code", "client_credentials"),
    default_scopes=("openid", "email", "offline_access"),
    application_scopes=(Scope("https://graph.microsoft.com/.default", "all that the app registration was given"),),
    usual_scopes=(
        Scope("openid", "who the account is"),
        Scope("email", "its e-mail address"),
        Scope("offline_access", "a refresh token, so that the link stays connected"),
        Scope("https://graph.microsoft.com/Mail.Read", "read mail"),
        Scope("https://graph.microsoft.com/Calendars.Read", "see calendars"),
    ),
    client_authentication="client_secret_post",
    scope_on_refresh=True,
    refresh_scopes=("offline_access",),
    client_id_form="[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    rotates=False,
    refresh_idle_life=90 * 86_400,
    secret_life=730 * 86_400,
    console_url="https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade",
    console_name="Microsoft Entra admin center, App registrations",
    guide=(
        "Choose New registration and who may sign in; this must fit the tenant above.",
        "Under Redirect URI choose Web, paste {redirect_url} and choose Register.",
        "Copy Application (client) ID from the overview into Client ID.",
        "Under Certificates & secrets choose New client secret. Copy its Value (not its Secret ID) and note when it ends.",
        "Under API permissions add {scopes}.",
    ),
    documentation_url="https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow",
    checked="2026-11-27",
    unchecked="the userinfo endpoint and the hosts of the US and China clouds",
)
