"""`events`: the audit log, and whether it is whole."""

import argparse
from datetime import UTC, date, datetime, timedelta
from typing import Any

from applinks.cli.output import as_json, complain, moment, say, table
from applinks.services.events import PAGE, Filter
from applinks.services.written import event_written
from applinks.wiring import Services


def add_to(commands: Any) -> None:
    parser = commands.add_parser("events", help="the audit log, newest last")
    parser.add_argument("--link", metavar="LINK", default="")
    parser.add_argument("--who", metavar="NAME", default="")
    parser.add_argument("--what", metavar="TEXT", default="", help='such as "token read"')
    parser.add_argument("--since", metavar="DATE", type=_day, help="YYYY-MM-DD in UTC")
    parser.add_argument("--until", metavar="DATE", type=_day, help="YYYY-MM-DD in UTC, that day included")
    parser.add_argument("--limit", metavar="NUMBER", type=int, default=PAGE)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--head", action="store_true", help="print where the log ends, to keep it elsewhere")
    parser.add_argument(
        *("--verify",),
        metavar="HEAD",
        nargs="?",
        const="",
        help="say whether it is whole, and holds a HEAD that was kept",
    )
    parser.set_defaults(run=_run)


def _run(services: Services, asked: argparse.Namespace) -> int:
    if asked.head:
        say(services.events.head())
        return 0
    if asked.verify is not None:
        return _verify(services, asked.verify)
    since = _start(asked.since) if asked.since else None
    until = _start(asked.until + timedelta(days=1)) if asked.until else None
    found = Filter(slug=asked.link, actor=asked.who, what=asked.what, since=since, until=until)
    events = services.events.page(found, limit=max(asked.limit, 1))[::-1]
    if asked.json:
        as_json([event_written(event) for event in events])
        return 0
    rows = [
        (event.id, moment(event.at), event.actor or event.actor_kind or "Applinks", event.address)
        + (event.what, f"{event.slug} {event.label}".strip(), event.count, event.words)
        for event in events
    ]
    table(("LINE", "WHEN", "WHO", "FROM", "WHAT", "LINK", "TIMES", "SAYS"), rows)
    return 0


def _verify(services: Services, kept: str) -> int:
    verdict = services.events.verify(kept)
    for problem in verdict.problems:
        complain(problem)
    say(f"{verdict.lines} lines, {'not whole' if verdict.problems else 'whole'}. It ends with {verdict.end}")
    return 1 if verdict.problems else 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} isn't a date such as 2026-11-26") from None


def _start(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
