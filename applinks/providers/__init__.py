"""The catalogue: every provider there is a drawer for, by its key."""

from collections.abc import Mapping

from applinks.providers.atlassian import ATLASSIAN
from applinks.providers.auth0 import AUTH0
from applinks.providers.bitbucket import BITBUCKET
from applinks.providers.bitbucket_data_center import BITBUCKET_DATA_CENTER
from applinks.providers.box import BOX
from applinks.providers.confluence import CONFLUENCE
from applinks.providers.custom import CUSTOM
from applinks.providers.discord import DISCORD
from applinks.providers.dropbox import DROPBOX
from applinks.providers.gitea import GITEA
from applinks.providers.github import GITHUB
from applinks.providers.gitlab import GITLAB
from applinks.providers.google import GOOGLE
from applinks.providers.hubspot import HUBSPOT
from applinks.providers.jira import JIRA
from applinks.providers.keycloak import KEYCLOAK
from applinks.providers.linear import LINEAR
from applinks.providers.microsoft import MICROSOFT
from applinks.providers.notion import NOTION
from applinks.providers.okta import OKTA
from applinks.providers.places import ANYBODYS_TENANTS, PLACES, Place
from applinks.providers.profile import (
    DETECT,
    ClientAuthentication,
    GrantType,
    Parameters,
    Provider,
    ProviderProfile,
    Scope,
)
from applinks.providers.salesforce import SALESFORCE
from applinks.providers.slack import SLACK
from applinks.providers.spotify import SPOTIFY
from applinks.providers.zoom import ZOOM

Catalogue = Mapping[str, Provider]

CATALOGUE: Catalogue = {
    provider.key: provider
    for provider in (
        *(GOOGLE, MICROSOFT, GITHUB),
        *(
            ATLASSIAN,
            AUTH0,
            BITBUCKET,
            BITBUCKET_DATA_CENTER,
            BOX,
            CONFLUENCE,
            DISCORD,
            DROPBOX,
            GITEA,
            GITLAB,
            HUBSPOT,
        ),
        *(JIRA, KEYCLOAK, LINEAR, NOTION, OKTA, SALESFORCE, SLACK, SPOTIFY, ZOOM, CUSTOM),
    )
}

__all__ = [
    "ANYBODYS_TENANTS",
    "CATALOGUE",
    "DETECT",
    "PLACES",
    "Catalogue",
    "ClientAuthentication",
    "GrantType",
    "Parameters",
    "Place",
    "Provider",
    "ProviderProfile",
    "Scope",
]
