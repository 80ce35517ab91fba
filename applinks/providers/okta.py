"""Okta. https://developer.okta.com/docs/guides/implement-grant-type/authcode/main/

Without `offline_access` no refresh token comes. Where refresh tokens are replaced, the new one keeps the old one's end. An
authorization server of one's own has a name, such as `default`; the organisation's has none.
"""

from applinks.providers.places import Place, host
from applinks.providers.profile import Provider, Scope

OKTA = Provider(
    key="okta",
    name="Okta",
    summary="Accounts of an Okta organisation",
    authorization_endpoint="https://{host}/oauth2{authorization_server}/v1/authorize",
    token_endpoint="https://{host}/oauth2{authorization_server}/v1/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://{host}/oauth2{authorization_server}/v1/userinfo",
    revocation_endpoint="https://{host}/oauth2{authorization_server}/v1/revoke",
    places=(
        host("company.okta.com"),
        Place(
            "authorization_server",
            "Its ID, such as default. Empty: the organisation's own.",
            "Write the authorization server's ID: letters, digits, hyphens and underscores.",
            optional=True,
            before="/",
        ),
    ),
    default_scopes=("openid", "email", "offline_access"),
    usual_scopes=(
        Scope("openid", "who the account is"),
        Scope("email", "its e-mail address"),
        Scope("offline_access", "a refresh token, so that the link stays connected"),
    ),
    client_authentication="client_secret_basic",
    refresh_scopes=("offline_access",),
    client_id_form="0oa[A-Za-z0-9]{17}",
    tells_redirect=True,
    guide=(
        "In the Okta admin console open Applications, Create App Integration, OIDC and Web Application.",
        "Tick Authorization Code and Refresh Token.",
        "Paste {redirect_url} under Sign-in redirect URIs.",
        "Assign the people who are to connect, choose Save, and copy Client ID and Client Secret.",
    ),
    documentation_url="https://developer.okta.com/docs/guides/implement-grant-type/authcode/main/",
    checked="2026-11-27",
    unchecked="the form of client IDs; whether a refresh replaces the refresh token is a setting of the app",
)
