"""The long form of what the tests show in short: `python -m tests.soak` runs it and writes `docs/soak.md`.

Each section is a title and a function that returns rows of figures; what its docstring says goes into the report. To add
one, write the function and name it in SECTIONS.
"""

import argparse
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import cleandoc
from itertools import count
from pathlib import Path

import psycopg

from tests import postgresql
from tests.processes import ROOT
from tests.refreshing.killing import GRACE_SECONDS, POINTS, PROVIDERS_POINTS, Trial, shuffled
from tests.refreshing.together import Figures, Must, frozen_for_real, thousand, waits_for_one_token
from tests.rotating import RotatingProvider

CYCLES = 2_000
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
DATABASES = (SQLITE, POSTGRESQL)
REPORT = ROOT / "docs" / "soak.md"

Rows = list[dict[str, object]]


@dataclass
class Run:
    """One run of everything. `cycles` is how often something is killed, of which most while it refreshes."""

    cycles: int
    folder: Path
    server: postgresql.Server
    wrong: list[str] = field(default_factory=list)
    by_point: dict[str, Counter[str]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def rarer(self) -> int:
        """How often a database is killed where it does something else than to refresh."""
        return max(4, self.cycles // 100)

    @contextmanager
    def trial(self, database: str, grace: float = 0.0, size: int = 4) -> Iterator[Trial]:
        """A new Applinks on a database of its own; whatever is found wrong goes into the report."""
        number = next(self.numbers)
        url = self.server.make_database(f"soak_{number}") if database == POSTGRESQL else ""
        with RotatingProvider(grace=grace) as provider:
            trial = Trial(self.folder / str(number), url, provider, seed=number, size=size, thorough=True)
            try:
                yield trial
                trial.finish()
            finally:
                self.wrong += [f"{database}: {what}" for what in trial.figures.wrong]
                trial.close()


def refreshes(run: Run) -> Rows:
    """A worker is started, takes up what its predecessor left behind, and is killed with SIGKILL in the next refresh. Half
    of the providers forgive a refresh token that comes again within ten seconds; the strict ones end the whole grant.

    *Interrupted* is how many kills left a refresh under way; of these the provider had *rotated* the refresh token, and
    the new one wasn't stored yet. *Late* is how many of the lost ones a busy machine took up after the provider's grace.
    After every kill SQLite's file was checked, every fourth time as a copy, so that the product itself was the first to
    open what the kill had left. *Recovery* is from the start of the next process until its tokens were stored, in seconds.
    """
    rows: Rows = []
    for database in DATABASES:
        for provider, grace in (("forgives", GRACE_SECONDS), ("strict", 0.0)):
            cycles = max(len(POINTS), run.cycles // 4 - run.rarer)
            with run.trial(database, grace) as trial:
                for done, point in enumerate(shuffled(POINTS, cycles, seed=cycles)):
                    trial.cycle(point)
                    tell(f"{database}, {provider}: {done + 1} of {cycles}")
            figures = trial.figures
            rows.append(
                {
                    "Database": database,
                    "Provider": provider,
                    "Kills": figures.cycles,
                    "Interrupted": figures.left.total(),
                    "Rotated": figures.rotated,
                    "Lost": figures.lost.total(),
                    "Late": figures.late,
                    "Checks": figures.checked,
                    "Recovery, median": f"{statistics.median(figures.recoveries):.2f}",
                    "Longest": f"{max(figures.recoveries):.2f}",
                }
            )
            if not grace:
                run.by_point[database] = figures.lost
    return rows


def points(run: Run) -> Rows:
    """Of the grants that were lost with a strict provider, where the kill came. `lease` is as soon as the lease was seen,
    before the request leaves or just after; `received` to `answered` are the provider's own steps; `commit` is up to 30 ms
    after its last byte; `start` is while the next process starts; `any` is any time within half a second.
    """
    return [
        {"Killed at": point} | {name: run.by_point.get(name, Counter())[point] for name in DATABASES}
        for point in POINTS
    ]


def gap(run: Run) -> Rows:
    """The one time in which a kill loses a grant of a strict provider and nobody can help it, beside the provider's own:
    from its last byte until the commit can be seen by others, in milliseconds.
    """
    rows: Rows = []
    for database in DATABASES:
        with run.trial(database, size=8) as trial:
            wide = sorted(1000 * seconds for seconds in trial.widths(min(250, max(20, run.cycles // 2))))
        cuts = statistics.quantiles(wide, n=100, method="inclusive")
        rows.append(
            {
                "Database": database,
                "Refreshes": len(wide),
                "Median": f"{cuts[49]:.1f}",
                "95 of 100 within": f"{cuts[94]:.1f}",
                "99 of 100 within": f"{cuts[98]:.1f}",
            }
        )
    return rows


def callbacks(run: Run) -> Rows:
    """A server is killed while it exchanges the code of an account that is connected already. The earlier grant or the new
    one is there afterwards, the same callback is refused, its code is never sent again, and connecting anew works.
    """
    rows: Rows = []
    for database in DATABASES:
        with run.trial(database) as trial:
            trial.callbacks([PROVIDERS_POINTS[number % len(PROVIDERS_POINTS)] for number in range(run.rarer)])
        rows.append({"Database": database, "Kills": trial.figures.cycles, "Lost": trial.figures.lost.total()})
        tell(f"{database}, callbacks: {trial.figures.cycles}")
    return rows


def migrations(run: Run) -> Rows:
    """A start is killed while it brings an earlier schema up to date; the start after that finds the earlier schema whole or
    the new one.
    """
    rows: Rows = []
    for database in DATABASES:
        with run.trial(database) as trial:
            left = Counter(trial.migration() for _ in range(run.rarer))
        found = ", ".join(f"schema {schema}: {times}" for schema, times in sorted(left.items()))
        rows.append({"Database": database, "Kills": trial.figures.cycles, "Found after the kill": found})
        tell(f"{database}, migrations: {trial.figures.cycles}")
    return rows


def beside_each_other(what: Callable[[Must, str], Figures], run: Run) -> Rows:
    """The same figures on both databases, side by side."""
    found = {}

    def must(holds: bool, rule: str) -> None:
        if not holds:
            run.wrong.append(f"{database}: broken: {rule}.")

    for database in DATABASES:
        url = run.server.make_database(f"soak_{next(run.numbers)}") if database == POSTGRESQL else ""
        found[database] = what(must, url)
        tell(f"{database}, {what.__name__}: done")
    return [
        {"Figure": name, SQLITE: figure, POSTGRESQL: dict(found[POSTGRESQL])[name]} for name, figure in found[SQLITE]
    ]


def one_token(run: Run) -> Rows:
    """Four processes with sixteen threads each ask for one expired token of a strict provider."""
    return beside_each_other(waits_for_one_token, run)


def a_thousand(run: Run) -> Rows:
    """A thousand connections at one host whose tokens expire in the same minute."""
    return beside_each_other(thousand, run)


def frozen(run: Run) -> Rows:
    """A process that holds a lease of a minute is stopped with SIGSTOP for 70 seconds, and let go."""
    return beside_each_other(frozen_for_real, run)


SECTIONS: list[tuple[str, Callable[[Run], Rows]]] = [
    ("The width of the gap", gap),
    ("Many who want one token", one_token),
    ("A thousand connections at once", a_thousand),
    ("Frozen for longer than its lease", frozen),
    ("Killed in a migration", migrations),
    ("Killed in a callback", callbacks),
    ("Killed while it refreshes", refreshes),
    ("Where a strict provider's grants were lost", points),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=CYCLES, help=f"how often something is killed ({CYCLES})")
    parser.add_argument("--report", type=Path, default=REPORT, help="where the report goes")
    arguments = parser.parse_args()
    # Here a commit waits for the disk, as it does for an operator.
    postgresql.OPTIONS.update({"fsync": "on", "full_page_writes": "on"})
    server, began = postgresql.Server.start(), time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = Run(arguments.cycles, Path(folder), server)
            parts = [part for title, section in SECTIONS for part in report(run, title, section)]
            with psycopg.connect(server.url("postgres")) as connection:
                version = str(connection.execute("SHOW server_version").fetchone()[0]).split()[0]  # type: ignore[index]
    finally:
        server.stop()
    wrong = "Nothing was found that must not be." if not run.wrong else "\n".join(f"- {what}" for what in run.wrong)
    where = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, PostgreSQL {version}"
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    head = (
        f"What `make soak` found on {datetime.now(UTC):%Y-%m-%d}, with {where}, killing {arguments.cycles} times, in "
        f"{(time.monotonic() - began) / 60:.0f} minutes on {os.cpu_count()} cores. How busy they were at the end (load "
        f"average): {load}."
    )
    text = "\n\n".join(["# Soak", head, wrong, *parts])
    arguments.report.parent.mkdir(exist_ok=True)
    arguments.report.write_text(text + "\n", "utf-8")
    tell(wrong)
    return 1 if run.wrong else 0


def report(run: Run, title: str, section: Callable[[Run], Rows]) -> list[str]:
    """One section's part of the report; where it breaks off, the others run all the same."""
    try:
        figures = table(section(run))
    except Exception as error:
        run.wrong.append(f"{title}: broken off, {error!r}.")
        figures = "Broken off."
    return [f"## {title}", cleandoc(section.__doc__ or ""), figures]


def table(rows: Rows) -> str:
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
