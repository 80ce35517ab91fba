"""Microsoft Entra ID. https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow

A refresh without a scope is refused (AADSTS90014); without `offline_access` no refresh token comes.
The userinfo endpoint was not checked against Microsoft's pages from here.
"""

import re

from applinks.providers.profile import Provider, Scope

MICROSOFT = Provider(
    key="microsoft",
    name="Microsoft",
    summary="Microsoft 365, Outlook, Teams and Entra ID accounts",
    authorization_endpoint="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
    token_endpoint="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://graph.microsoft.com/oidc/userinfo",
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
    needs_tenant=True,
    console_url="https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade",
    console_name="Microsoft Entra admin center, App registrations",
    redirect_rule="Paste it under Authentication, Add a platform, Web, Redirect URIs.",
)

ANYBODYS_TENANTS = ("common", "organizations", "consumers")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"({_LABEL}\.){{1,8}}[a-z]([a-z0-9-]{{0,61}}[a-z0-9])")


def is_tenant(text: str) -> bool:
    """Whether `text`, in lower case, is one of the three words, a GUID or a domain."""
    if len(text) > 253:
        return False
    return text in ANYBODYS_TENANTS or bool(_GUID.fullmatch(text)) or bool(_DOMAIN.fullmatch(text))
