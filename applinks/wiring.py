"""Services: every service of one running Applinks, built once."""

from collections.abc import Callable
from dataclasses import dataclass

from applinks.crypto import KeyRing
from applinks.oauth.client import OAuthClient
from applinks.oauth.guard import Guard
from applinks.providers import Catalogue
from applinks.services.authorization import Authorization
from applinks.services.connections import Connections
from applinks.services.dance import Dance
from applinks.services.link_client import LinkClient
from applinks.services.links import Links
from applinks.services.refresher import Refresher
from applinks.services.sign_in import SignIn
from applinks.services.vault import Vault
from applinks.settings import Settings


@dataclass(frozen=True)
class Services:
    settings: Settings
    clock: Callable[[], float]
    catalogue: Catalogue
    guard: Guard
    links: Links
    connections: Connections
    dance: Dance
    refresher: Refresher
    authorization: Authorization
    sign_in: SignIn


def build(
    settings: Settings, keys: KeyRing, catalogue: Catalogue, clock: Callable[[], float], guard: Guard
) -> Services:
    vault, client = Vault(keys), OAuthClient(guard)
    link_client = LinkClient(vault, client)
    links = Links(vault, catalogue, settings.base_url, clock)
    return Services(
        settings=settings,
        clock=clock,
        catalogue=catalogue,
        guard=guard,
        links=links,
        connections=Connections(link_client, clock),
        dance=Dance(links, vault, client, link_client, clock),
        refresher=Refresher(links, vault, link_client, clock),
        authorization=Authorization(keys, clock),
        sign_in=SignIn(clock),
    )
