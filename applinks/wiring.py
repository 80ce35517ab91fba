"""Services: every service of one running Applinks, built once."""

from collections.abc import Callable
from dataclasses import dataclass

from applinks.oauth.client import OAuthClient
from applinks.oauth.guard import Guard
from applinks.oauth.probe import PROBE_SECONDS, Probe
from applinks.providers import Catalogue
from applinks.services.alerts import Alerts
from applinks.services.api_keys import ApiKeys
from applinks.services.applying import Applying
from applinks.services.authorization import Authorization
from applinks.services.check_here import HereCheck
from applinks.services.checks import Checks
from applinks.services.connections import Connections
from applinks.services.consents import Consents
from applinks.services.counts import Counts
from applinks.services.dance import Dance
from applinks.services.discovery import Discovery
from applinks.services.events import Events
from applinks.services.health import Health
from applinks.services.incoming import IncomingLinks
from applinks.services.inspection import Inspection
from applinks.services.issued import IssuedTokens
from applinks.services.keys_file import KeysFile
from applinks.services.leases import Leases
from applinks.services.link_client import LinkClient
from applinks.services.links import Links
from applinks.services.metrics import Metrics
from applinks.services.next_secrets import NextSecrets
from applinks.services.owner import Owner
from applinks.services.refresher import Refresher
from applinks.services.renewal import Renewal
from applinks.services.rotation import Rotation
from applinks.services.schedule import Pace
from applinks.services.sign_in import SignIn
from applinks.services.storage import Storage, keys_fit
from applinks.services.tokens import Tokens
from applinks.services.upcoming import Calendar
from applinks.services.vault import Vault
from applinks.settings import Settings


@dataclass(frozen=True)
class Services:
    settings: Settings
    clock: Callable[[], float]
    catalogue: Catalogue
    guard: Guard
    events: Events
    counts: Counts
    api_keys: ApiKeys
    links: Links
    next_secrets: NextSecrets
    checks: Checks
    connections: Connections
    dance: Dance
    discovery: Discovery
    renewal: Renewal
    refresher: Refresher
    calendar: Calendar
    alerts: Alerts
    tokens: Tokens
    health: Health
    metrics: Metrics
    inspection: Inspection
    authorization: Authorization
    issued: IssuedTokens
    incoming: IncomingLinks
    consents: Consents
    rotation: Rotation
    applying: Applying
    sign_in: SignIn


def build(
    settings: Settings, storage: Storage, catalogue: Catalogue, clock: Callable[[], float], guard: Guard, pace: Pace
) -> Services:
    vault, client = Vault(storage.keys), OAuthClient(guard)
    events = Events(storage.event_key, clock)
    next_secrets = NextSecrets(vault, events, clock)
    link_client = LinkClient(vault, client, next_secrets)
    counts = Counts(events, clock)
    api_keys = ApiKeys(events, counts, clock)
    issued = IssuedTokens(counts, clock)
    links = Links(vault, events, catalogue, settings.base_url, clock)
    owner = Owner(settings.data_dir / "running")
    leases = Leases(owner, clock, pace)
    renewal = Renewal(links, vault, events, link_client, leases, clock, pace)
    connections, incoming = Connections(link_client, events), IncomingLinks(links, events, clock)
    health = Health(
        *(renewal, owner, clock, pace),
        read_only=storage.read_only,
        keys_fit=lambda: keys_fit(storage.keys),
        data_dir=settings.data_dir,
    )
    calendar = Calendar(catalogue, events, settings.base_url, clock)
    alerts = Alerts(settings, guard, events, calendar, clock)
    quick, probe = OAuthClient(guard, PROBE_SECONDS), Probe(guard)
    return Services(
        settings=settings,
        clock=clock,
        catalogue=catalogue,
        guard=guard,
        events=events,
        counts=counts,
        api_keys=api_keys,
        links=links,
        next_secrets=next_secrets,
        checks=Checks(
            HereCheck(settings, storage.event_key, probe),
            probe,
            quick,
            LinkClient(vault, quick, next_secrets),
            renewal,
            events,
            clock,
        ),
        connections=connections,
        dance=Dance(links, vault, events, client, link_client, clock),
        discovery=Discovery(client),
        renewal=renewal,
        refresher=Refresher(links, renewal, leases, owner, clock, pace, (issued.sweep, alerts.sweep)),
        calendar=calendar,
        alerts=alerts,
        tokens=Tokens(vault, api_keys, issued, counts, renewal, leases, clock, pace),
        health=health,
        metrics=Metrics(health, clock),
        inspection=Inspection(vault, events),
        authorization=Authorization(storage.keys, vault, events, settings.base_url, clock),
        issued=issued,
        incoming=incoming,
        consents=Consents(events, clock),
        rotation=Rotation(storage.keys, KeysFile(settings.keys_file), events, clock),
        applying=Applying(links, incoming, connections),
        sign_in=SignIn(events, counts, clock),
    )
