"""`python -m benchmarks`: measure everything side by side, and write docs/benchmarks.md. `--quick` only tries."""

import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import topics
from benchmarks.processes import ROOT, on_core
from benchmarks.topics import QUICK, WHOLE, Figure, Pace
from tests.postgresql import Server

_COSTS = (
    "What costs the rest of a token read: one joined query through peewee's `execute_sql`, AES-256-GCM with its base64, "
    "SHA-256 and the comparison of the key, the JSON and the headers. A plain read goes by `web/api/lane.py` around Flask, "
    "whose routing, contexts and response cost more than all of these: with a query it goes through Flask. Counting is a few "
    "dictionary operations; its tallies are written once a second, and whoever reads next reads the changed pages again. "
    "The list page costs what Jinja and peewee do for 25 rows. The start is imports: peewee, requests with urllib3, oauthlib, "
    "cryptography, WTForms, and a hundred small modules and routes of our own."
)


def main() -> None:
    pace = QUICK if "--quick" in sys.argv else WHOLE
    on_core(1)
    postgresql = Server.start()
    try:
        url = postgresql.make_database("bench")
        sections: list[tuple[str, list[Figure]]] = []
        for name, measure in _topics(url):
            print(f"{name} …", flush=True)
            sections.append((name, measure(pace)))
            for figure in sections[-1][1]:
                print(f"    {_line(figure)}", flush=True)
    finally:
        postgresql.stop()
    if pace is WHOLE:
        (ROOT / "docs" / "benchmarks.md").write_text(_report(sections), "utf-8")


def _topics(url: str) -> list[tuple[str, Callable[[Pace], list[Figure]]]]:
    return [
        ("Token read", topics.token_read),
        ("Token read on PostgreSQL", lambda pace: topics.token_read_on_postgresql(pace, url)),
        ("Beside OpenBao", topics.openbao),
        ("Revocation", topics.revocation),
        ("While refreshing", topics.while_refreshing),
        ("List page", topics.list_page),
        ("Start", topics.starting),
        ("Stop", topics.stopping),
        ("Servers", topics.servers),
    ]


def _report(sections: list[tuple[str, list[Figure]]]) -> str:
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make benchmark` on {datetime.now(UTC):%Y-%m-%d}: {_machine()}. Servers ran on one core, the load "
        "generator on another. Every ratio is of medians within one run; ratios carry over to other machines, seconds don't.",
        "",
    ]
    for name, figures in sections:
        lines += [f"## {name}", "", "| what | measured | wanted | |", "|---|---|---|---|"]
        lines += [f"| {figure.name} | {figure.value} | {figure.wanted} | {_mark(figure)} |" for figure in figures]
        lines.append("")
    return "\n".join([*lines, _COSTS, ""])


def _mark(figure: Figure) -> str:
    return {True: "met", False: "**missed**", None: ""}[figure.met]


def _line(figure: Figure) -> str:
    return f"{figure.name}: {figure.value} {figure.wanted} {_mark(figure)}".rstrip()


def _machine() -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(": ")[2] if models else platform.machine()
    return f"{len(models)} processors {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
