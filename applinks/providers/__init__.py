"""The catalogue: every provider there is a drawer for, by its key."""

from collections.abc import Mapping

from applinks.providers.custom import CUSTOM
from applinks.providers.github import GITHUB
from applinks.providers.google import GOOGLE
from applinks.providers.microsoft import ANYBODYS_TENANTS, MICROSOFT, is_tenant
from applinks.providers.profile import (
    DETECT,
    ClientAuthentication,
    GrantType,
    Parameters,
    Provider,
    ProviderProfile,
    Scope,
)

Catalogue = Mapping[str, Provider]

CATALOGUE: Catalogue = {provider.key: provider for provider in (GOOGLE, MICROSOFT, GITHUB, CUSTOM)}

__all__ = [
    "ANYBODYS_TENANTS",
    "CATALOGUE",
    "DETECT",
    "Catalogue",
    "ClientAuthentication",
    "GrantType",
    "Parameters",
    "Provider",
    "ProviderProfile",
    "Scope",
    "is_tenant",
]
