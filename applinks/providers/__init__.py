"""The catalogue: every provider there is a drawer for, by its key."""

from collections.abc import Mapping

from applinks.providers.atlassian import ATLASSIAN
from applinks.providers.bitbucket import BITBUCKET
from applinks.providers.box import BOX
from applinks.providers.custom import CUSTOM
from applinks.providers.discord import DISCORD
from applinks.providers.dropbox import DROPBOX
from applinks.providers.github import GITHUB
from applinks.providers.google import GOOGLE
from applinks.providers.linear import LINEAR
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
from applinks.providers.spotify import SPOTIFY
from applinks.providers.zoom import ZOOM

Catalogue = Mapping[str, Provider]

CATALOGUE: Catalogue = {
    provider.key: provider
    for provider in (
        *(GOOGLE, MICROSOFT, GITHUB),
        *(ATLASSIAN, BITBUCKET, BOX, DISCORD, DROPBOX, LINEAR, SPOTIFY, ZOOM, CUSTOM),
    )
}

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
