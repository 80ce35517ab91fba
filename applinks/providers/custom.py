"""Custom: anything that speaks OAuth 2.0. The administrator gives the endpoints."""

from applinks.providers.profile import Provider

CUSTOM = Provider(
    key="custom",
    name="Custom",
    summary="Anything else that speaks OAuth 2.0, an internal tool for example",
    grant_types=("authorization_code", "client_credentials"),
)
