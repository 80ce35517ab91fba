"""`api-keys`: make, list, revoke, check."""

import argparse
import sys
from typing import Any

from applinks.cli.console import actor
from applinks.cli.output import as_json, complain, moment, moment_or, say, table
from applinks.services.api_keys import MOST_DAYS, USUAL_DAYS, Standing
from applinks.wiring import Services


def add_to(commands: Any) -> None:
    keys = commands.add_parser("api-keys", help="make, list, revoke, check")
    parts = keys.add_subparsers(dest="part", metavar="PART", required=True)
    making = parts.add_parser("make", help="make a key and print it, this once")
    making.add_argument("name", metavar="NAME", help="what it is for")
    reach = making.add_mutually_exclusive_group(required=True)
    reach.add_argument("--link", metavar="LINK", action="append", help="a link that it is for; again for one more")
    reach.add_argument("--all-links", action="store_true", help="for all links, also those made later")
    reach.add_argument("--no-links", action="store_true", help="for no link: it reads /metrics alone")
    making.add_argument("--manage", action="store_true", help="it may manage links, too")
    making.add_argument("--expires", metavar="DAYS", type=int, default=USUAL_DAYS, help=f"{MOST_DAYS} at most")
    making.set_defaults(run=_make)
    listing = parts.add_parser("list", help="every key, and when it was used")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_list)
    revoking = parts.add_parser("revoke", help="revoke a key from the next request on")
    revoking.add_argument("id", metavar="ID", help="what stands between apl_ and the next _")
    revoking.set_defaults(run=_revoke)
    checking = parts.add_parser("check", help="read a key from standard input and say what is right or wrong with it")
    checking.set_defaults(run=_check)


def _make(services: Services, asked: argparse.Namespace) -> int:
    link_ids = None if asked.all_links else [services.links.find(slug).id for slug in asked.link or []]
    row, key = services.api_keys.make(asked.name, link_ids, manages=asked.manage, days=asked.expires, actor=actor())
    say(key)
    complain(f"It is shown this once, and lives until {moment(row.expires_at)}.")
    return 0


def _list(services: Services, asked: argparse.Namespace) -> int:
    keys = services.api_keys.list()
    if asked.json:
        names = (
            "id",
            "name",
            "all_links",
            "manages",
            "made_by",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        )
        as_json([{name: getattr(key, name) for name in names} | {"links": slugs} for key, slugs in keys])
        return 0
    rows = []
    for key, slugs in keys:
        reach = "all" if key.all_links else ", ".join(slugs) or "none"
        may = "manages" if key.manages else "reads tokens"
        ends = f"revoked {moment(key.revoked_at)}" if key.revoked_at else moment(key.expires_at)
        rows.append((key.id, key.name, reach, may, key.made_by, moment_or(key.last_used_at, "never"), ends))
    table(("ID", "NAME", "LINKS", "MAY", "MADE BY", "LAST USED", "EXPIRES"), rows)
    return 0


def _revoke(services: Services, asked: argparse.Namespace) -> int:
    key = services.api_keys.revoke(asked.id, actor())
    complain(f"{key.name} was revoked.")
    return 0


def _check(services: Services, asked: argparse.Namespace) -> int:
    standing, key = services.api_keys.standing_of(sys.stdin.readline().strip())
    name = f"{key.name}: " if key else ""
    until = f", until {moment(key.expires_at)}" if key and standing is Standing.GOOD else ""
    say(f"{name}{standing}{until}")
    return 0 if standing is Standing.GOOD else 1
