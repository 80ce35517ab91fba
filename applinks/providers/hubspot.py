"""HubSpot. https://developers.hubspot.com/docs/api-reference/auth-oauth-v3/guide

The endpoints of version 1 end on 16 February 2027; these are those of version 3, which read the body alone. An access token
lives for half an hour; the refresh token isn't replaced.
"""

from applinks.providers.profile import Provider, Scope

HUBSPOT = Provider(
    key="hubspot",
    name="HubSpot",
    summary="Contacts, companies and deals at hubspot.com",
    authorization_endpoint="https://app.hubspot.com/oauth/authorize",
    token_endpoint="https://api.hubapi.com/oauth/v3/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.hubapi.com/account-info/v3/details",
    account="portalId",
    default_scopes=("oauth",),
    usual_scopes=(
        Scope("oauth", "what every app needs"),
        Scope("crm.objects.contacts.read", "see contacts"),
        Scope("crm.objects.companies.read", "see companies"),
        Scope("crm.objects.deals.read", "see deals"),
    ),
    client_authentication="client_secret_post",
    client_id_form="[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    rotates=False,
    console_url="https://app.hubspot.com/developer-overview",
    console_name="HubSpot, Development",
    guide=(
        "Create an app whose distribution or authentication is OAuth and open its Auth tab.",
        "Paste {redirect_url} as Redirect URL.",
        "Add the scopes {scopes}: those of the link and of the app must be the same.",
        "Copy Client ID and Client secret.",
    ),
    documentation_url="https://developers.hubspot.com/docs/api-reference/auth-oauth-v3/guide",
    checked="2026-11-27",
    unchecked="the userinfo endpoint and the form of client IDs",
)
