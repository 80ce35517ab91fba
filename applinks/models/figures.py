"""Figures for monitoring that only grow: how often something has happened, in all processes together."""

from collections.abc import Mapping

from peewee import BigIntegerField, TextField

from applinks.models.base import Table

# Up to how many seconds a refresh took, in thousandths; what takes longer is counted by all refreshes alone.
REFRESH_BUCKETS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
TOKEN_READS = "token_reads"  # noqa: S105
REFRESHES, REFRESH_WITHIN, REFRESH_TIME = "refreshes:", "refresh_within:", "refresh_milliseconds"


class Figure(Table):
    name = TextField(primary_key=True)
    value = BigIntegerField()


def count_figures(figures: Mapping[str, int]) -> None:
    """Add to figures, in the caller's transaction."""
    for name, more in figures.items():
        if Figure.update(value=Figure.value + more).where(Figure.name == name).execute() != 1:
            Figure.create(name=name, value=more)


def refreshed_in(milliseconds: int, outcome: str) -> dict[str, int]:
    """What one refresh adds."""
    bucket = next((most for most in REFRESH_BUCKETS if milliseconds <= most), None)
    within = {f"{REFRESH_WITHIN}{bucket}": 1} if bucket else {}
    return {f"{REFRESHES}{outcome}": 1, REFRESH_TIME: milliseconds} | within


def all_figures() -> dict[str, int]:
    return {str(row.name): int(row.value) for row in Figure.select()}
