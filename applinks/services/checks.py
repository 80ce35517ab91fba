"""Checking a link: what is wrong, where, and what to do, before anybody's consent is asked for where that can be known.

A check goes through parts in an order: what depends on an answer that didn't come is skipped. It stores nothing but when a
certificate ends, and sends the stored secret only where a connection would.
"""

from collections.abc import Callable

from applinks.oauth.client import OAuthClient
from applinks.oauth.probe import Probe
from applinks.services.check_client import ClientCheck
from applinks.services.check_connections import ConnectionsCheck
from applinks.services.check_consent import ConsentCheck
from applinks.services.check_here import HereCheck
from applinks.services.check_provider import ProviderCheck
from applinks.services.events import Actor, Events
from applinks.services.findings import Finding, Result
from applinks.services.link_client import LinkClient
from applinks.services.links import Outgoing
from applinks.services.renewal import Renewal

PARTS = ("here", "provider", "client", "consent", "connections")


class Checks:
    """`client` and `link_client` ask quickly: a check has many questions."""

    def __init__(
        self,
        here: HereCheck,
        probe: Probe,
        client: OAuthClient,
        link_client: LinkClient,
        renewal: Renewal,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        self._here = here
        self._provider = ProviderCheck(probe, clock)
        self._client = ClientCheck(client, link_client, events)
        self._consent = ConsentCheck(client, probe)
        self._connections = ConnectionsCheck(link_client, renewal, clock)

    def answer(self, nonce: str) -> str:
        """What this Applinks, and no other, says to a nonce."""
        return self._here.answer(nonce)

    def everything(self, outgoing: Outgoing, actor: Actor) -> list[Finding]:
        """Every part, one after another."""
        findings: list[Finding] = []
        for part in PARTS:
            findings += self.run(outgoing, part, actor, reached=is_reached(findings))
        return findings

    def run(self, outgoing: Outgoing, part: str, actor: Actor, *, reached: bool) -> list[Finding]:
        """One part; `reached` says whether the parts before it had an answer from the token endpoint."""
        match part:
            case "here":
                return self._here.findings(outgoing)
            case "provider":
                return self._provider.findings(outgoing)
            case "client":
                return [self._client.finding(outgoing, actor, reached=reached)]
            case "consent":
                return self._consent.findings(outgoing, reached=reached)
            case _:
                return self._connections.findings(outgoing, actor, reached=reached)


def is_reached(findings: list[Finding]) -> bool:
    """Whether the token endpoint has answered as one, as far as was looked."""
    failed = {finding.key for finding in findings if finding.result is Result.FAILED}
    return not failed & {"address", "tls", "token_endpoint"}
