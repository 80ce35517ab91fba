"""Figures for Prometheus, in its text format (version 0.0.4), and without the name of anybody or anything.

Written by hand: the figures of all processes are in the database, and a client library would count each process for itself.
"""

from collections.abc import Callable, Iterator
from typing import Any

from peewee import Field, fn

from applinks.models import REFRESH_BUCKETS, ApplicationLink, Connection, State, all_figures
from applinks.models.figures import REFRESH_TIME, REFRESH_WITHIN, REFRESHES, TOKEN_READS
from applinks.services.health import Health
from applinks.services.renewal import Outcome

OUTCOMES = (Outcome.REFRESHED, Outcome.RETRYING, Outcome.REFUSED)
_LIVING = (State.CONNECTED, State.EXPIRING, State.RETRYING)

Samples = list[tuple[str, float]]


class Metrics:
    def __init__(self, health: Health, clock: Callable[[], float]) -> None:
        self._health = health
        self._clock = clock

    def text(self) -> str:
        """Raises peewee.DatabaseError or peewee.InterfaceError."""
        return "".join(_family(*family) for family in self._families())

    def _families(self) -> Iterator[tuple[str, str, str, Samples]]:
        """Name, kind, what it is, and what follows the name with its value."""
        now, figures, report = int(self._clock()), all_figures(), self._health.report()
        states = _counted(Connection.state)
        per_state: Samples = [(f'{{state="{state}"}}', states.get(state, 0)) for state in State]
        yield "connections", "gauge", "Connections by state.", per_state
        links = _counted(ApplicationLink.direction)
        directions: Samples = [(f'{{direction="{name}"}}', links.get(name, 0)) for name in ("outgoing", "incoming")]
        yield "links", "gauge", "Application links by direction.", directions
        ended: Samples = [(f'{{outcome="{outcome}"}}', figures.get(f"{REFRESHES}{outcome}", 0)) for outcome in OUTCOMES]
        yield "refreshes_total", "counter", "Refreshes by how they ended.", ended
        yield "refresh_duration_seconds", "histogram", "How long providers took to answer.", _histogram(figures)
        reads: Samples = [("", figures.get(TOKEN_READS, 0))]
        yield "token_reads_total", "counter", "Tokens that were handed out, up to a second ago.", reads
        alive = Connection.state.in_(_LIVING) & Connection.expires_at.is_null(False)
        first = Connection.select(fn.MIN(Connection.expires_at)).where(alive).scalar()
        yield (
            "next_expiry_seconds",
            "gauge",
            "Until the first access token expires.",
            [("", first - now)] if first else [],
        )
        due = Connection.select().where(Connection.next_attempt_at <= now)
        waiting, oldest = due.count(), due.select(fn.MIN(Connection.next_attempt_at)).scalar()
        yield "refresh_queue", "gauge", "Connections that are due.", [("", waiting)]
        yield (
            "refresh_queue_age_seconds",
            "gauge",
            "For how long the first of them is.",
            [("", now - oldest if oldest else 0)],
        )
        yield "refreshers", "gauge", "Processes that refresh.", [("", len(report.places))]
        seen: Samples = [("", max(0, now - report.seen_at))] if report.seen_at else []
        yield "refresher_heartbeat_age_seconds", "gauge", "Since one was last seen to.", seen
        unstored: Samples = [("", report.unstored)]
        yield "unstored_grants", "gauge", "Grants that this process couldn't store yet.", unstored


def _counted(column: Field) -> dict[str, int]:
    """How many rows there are of each value of a column."""
    rows: Any = column.model.select(column, fn.COUNT(column)).group_by(column).tuples()
    return dict(rows)


def _histogram(figures: dict[str, int]) -> Samples:
    total, lines = 0, []
    for most in REFRESH_BUCKETS:
        total += figures.get(f"{REFRESH_WITHIN}{most}", 0)
        lines.append((f'_bucket{{le="{most / 1000:g}"}}', float(total)))
    count = sum(figures.get(f"{REFRESHES}{outcome}", 0) for outcome in OUTCOMES)
    last = [('_bucket{le="+Inf"}', count), ("_sum", figures.get(REFRESH_TIME, 0) / 1000), ("_count", count)]
    return [*lines, *last]


def _family(name: str, kind: str, words: str, samples: Samples) -> str:
    lines = [f"# HELP applinks_{name} {words}", f"# TYPE applinks_{name} {kind}"]
    lines += [f"applinks_{name}{labels} {value:.15g}" for labels, value in samples]
    return "\n".join(lines) + "\n" if samples else ""
