"""When what can't be refreshed ends: a client secret, a consent, a certificate."""

from dataclasses import dataclass
from typing import Literal

from applinks.models import Connection, State
from applinks.providers import Provider
from applinks.services.findings import Action

DAY = 86_400
WARN_DAYS = 30

_NAMES = {
    "secret": "The client secret",
    "consent": "The consent",
    "certificate": "The provider's certificate, as last seen,",
}


@dataclass(frozen=True)
class Deadline:
    """`at` is in seconds since 1970; `label` is that of the connection whose consent it is."""

    key: Literal["secret", "consent", "certificate"]
    at: int
    mend: str
    action: Action
    label: str = ""

    def words(self, now: float) -> str:
        """What ends, and when, as people say it."""
        return f"{self.what} {ending(self.at, now)}."

    @property
    def what(self) -> str:
        """What ends, with its connection's label where a link may have several."""
        return f"{_NAMES[self.key]} of {self.label}" if self.label not in ("", "default") else _NAMES[self.key]


def days(at: int, now: float) -> int:
    """How many days later than today that day is (UTC), negative when it has passed."""
    return int(at // DAY - now // DAY)


def ending(at: int, now: float) -> str:
    """When something ends, as people say it."""
    left = days(at, now)
    if left < 0:
        return "has ended"
    return f"ends {'today' if left == 0 else 'tomorrow' if left == 1 else f'in {left} days'}"


def deadlines_of(
    client_secret_ends_at: int | None,
    certificate_ends_at: int | None,
    provider: Provider | None,
    connections: list[Connection],
    now: float,
) -> list[Deadline]:
    """Everything of a link whose end is known, the first one first.

    A certificate whose end has passed was renewed since it was seen, or calls fail and say so.
    """
    found = []
    if client_secret_ends_at is not None:
        mend = "Make a new client secret at the provider, and type it with Edit."
        found.append(Deadline("secret", client_secret_ends_at, mend, "edit"))
    if certificate_ends_at is not None and certificate_ends_at > now:
        mend = "Whoever runs the provider should renew it; Check this link looks again."
        found.append(Deadline("certificate", certificate_ends_at, mend, ""))
    for connection in connections:
        if provider and provider.consent_life and connection.connected_at and connection.state != State.DISCONNECTED:
            at = connection.connected_at + provider.consent_life
            mend = "Choose Reconnect before then: refreshing doesn't prolong it."
            found.append(Deadline("consent", at, mend, "connections", str(connection.label)))
    return sorted(found, key=lambda end: end.at)
