"""Salesforce. https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_web_server_flow.htm

An answer has no `expires_in`: how long a token lives is the session timeout of the organisation, two hours unless it was
changed, so an hour is taken. Without `refresh_token` no refresh token comes. Calls go to the `instance_url` of the answer,
which is My Domain's. New connected apps can't be made since Spring '26: an External Client App takes their place.
"""

from applinks.providers.places import host
from applinks.providers.profile import Provider, Scope

SALESFORCE = Provider(
    key="salesforce",
    name="Salesforce",
    summary="Accounts, contacts and the rest of an organisation",
    authorization_endpoint="https://{host}/services/oauth2/authorize",
    token_endpoint="https://{host}/services/oauth2/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://{host}/services/oauth2/userinfo",
    account="preferred_username",
    revocation_endpoint="https://{host}/services/oauth2/revoke",
    places=(host("company.my.salesforce.com", default="login.salesforce.com"),),
    default_scopes=("id", "api", "refresh_token"),
    usual_scopes=(
        Scope("id", "who the account is"),
        Scope("api", "read and change what the account can"),
        Scope("refresh_token", "a refresh token, so that the link stays connected"),
    ),
    authorization_parameters=(("prompt", "consent"),),
    client_authentication="client_secret_post",
    default_life=3600,
    refresh_scopes=("refresh_token", "offline_access"),
    console_url="https://login.salesforce.com/",
    console_name="Salesforce, Setup",
    guide=(
        "In Setup open External Client App Manager and choose New External Client App.",
        "Under API (Enable OAuth Settings) tick Enable OAuth and paste {redirect_url} as Callback URL.",
        "Under OAuth Scopes add {scopes} and choose Create.",
        "Under Settings, OAuth Settings, choose Consumer Key and Secret. Copy Consumer Key into Client ID and Consumer "
        "Secret into Client secret.",
        "Of a sandbox the host is test.salesforce.com, or its My Domain.",
    ),
    documentation_url="https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_web_server_flow.htm",
    checked="2026-11-27",
    unchecked="whether a refresh replaces the refresh token: that is a setting of the app",
)
