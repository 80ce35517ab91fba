"""The demo's seed: one administrator, and a pair of links of this same instance that point at each other."""

from urllib.parse import urlsplit

from applinks.crypto import digest, new_id, new_token
from applinks.models import Administrator, IncomingLink, OutgoingLink, database
from applinks.oauth.registration import ClientRegistration
from applinks.providers import CATALOGUE
from applinks.services.events import APPLINKS
from applinks.services.incoming import IncomingLinks
from applinks.services.links import Links

ADMINISTRATOR = "demo"
OUTGOING_NAME = "Demo provider"
INCOMING_NAME = "Demo client"
SCOPES = "profile"
TOKEN_LIFE = 120


def seed(links: Links, incoming: IncomingLinks, base_url: str, now: int) -> None:
    """Make the demo's administrator and pair, or point an earlier demo's pair at today's base URL."""
    with database.atomic():
        if Administrator.get_or_none(Administrator.username == ADMINISTRATOR) is None:
            Administrator.create(id=new_id(), username=ADMINISTRATOR, password_hash="", created_at=now)
            _make_pair(links, incoming, base_url)
        else:
            _repoint(links, base_url)


def _make_pair(links: Links, incoming: IncomingLinks, base_url: str) -> None:
    outgoing_id, client_id, secret = new_id(), f"demo-{new_id()[:8]}", new_token()
    incoming.add(
        INCOMING_NAME,
        client_id=client_id,
        client_secret_digest=digest(secret),
        redirect_uris=links.redirect_uri(outgoing_id),
        scopes=SCOPES,
        life=TOKEN_LIFE,
    )
    provider, differences = CATALOGUE["custom"], _endpoints(base_url)
    registration = ClientRegistration(
        name=OUTGOING_NAME,
        provider=provider,
        profile=provider.profile(differences),
        differences=differences,
        client_id=client_id,
        client_secret=secret,
        scopes=SCOPES,
    )
    links.create(outgoing_id, registration, APPLINKS)


def _endpoints(base_url: str) -> dict[str, str]:
    return {
        "authorization_endpoint": f"{base_url}/oauth/authorize",
        "token_endpoint": f"{base_url}/oauth/token",
        "userinfo_endpoint": f"{base_url}/oauth/userinfo",
        "revocation_endpoint": f"{base_url}/oauth/revoke",
    }


def _repoint(links: Links, base_url: str) -> None:
    """Follow a changed port in every pair whose client ID both sides share; connections live on."""
    ours = {row.client_id: row for row in IncomingLink.select()}
    for outgoing in OutgoingLink.select().where(OutgoingLink.client_id.in_(list(ours))):
        differences = links.outgoing(outgoing.link.slug).differences
        if urlsplit(differences.get("token_endpoint", "")).path != "/oauth/token":
            continue
        links.repoint(outgoing.link, _endpoints(base_url))
        redirects = IncomingLink.update(redirect_uris=links.redirect_uri(outgoing.link_id))
        redirects.where(IncomingLink.link == ours[outgoing.client_id].link_id).execute()
