"""`links export` and `links apply`: links as code."""

import argparse
import getpass
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

from applinks.cli.console import actor, text_of
from applinks.cli.output import as_json, complain, plain, say
from applinks.errors import AppError
from applinks.oauth.registration import ClientRegistration, read_client_secret
from applinks.services.applying import CHANGED, SECRET, Change, Plan, as_text, with_secret
from applinks.services.links_document import read_document
from applinks.services.strict_yaml import LONGEST, read, write
from applinks.settings import secret_named
from applinks.wiring import Services

_MOST_COMPLAINTS = 50


def add_to(parts: Any) -> None:
    exporting = parts.add_parser("export", help="every link as a file, without its secrets")
    exporting.add_argument("--json", action="store_true")
    exporting.set_defaults(run=_export)
    applying = parts.add_parser(
        "apply", help="make links what a file says; exit status 1 where --dry-run finds a difference"
    )
    applying.add_argument("file", metavar="FILE", help="as export writes it; - for standard input")
    applying.add_argument("--prune", action="store_true", help="delete links that aren't in the file")
    applying.add_argument("--yes", action="store_true", help="don't ask")
    applying.add_argument("--dry-run", action="store_true", help="only say what would be changed")
    applying.set_defaults(run=_apply)


def _export(services: Services, asked: argparse.Namespace) -> int:
    found = services.applying.exported()
    if asked.json:
        as_json(found)
    else:
        say(write(found).rstrip("\n"))
    return 0


def _apply(services: Services, asked: argparse.Namespace) -> int:
    try:
        content = read(text_of(asked.file, LONGEST + 1))
        entries = read_document(
            services.guard, services.catalogue, content, lambda name: secret_named(name, asked.environ)
        )
        plan = services.applying.plan(entries, prune=asked.prune)
    except AppError as error:
        return _refuse(str(error).splitlines())
    _show(plan)
    if not plan.changes:
        return 0
    if asked.dry_run:
        return 1
    on_terminal = sys.stdin.isatty() and asked.file != "-"
    lacking = [change for change in plan.changes if change.lacks_secret]
    if lacking and not on_terminal:
        return _refuse([_lacks(change) for change in lacking])
    if not asked.yes:
        if not on_terminal:
            return _refuse(["Nothing was changed. To apply this, add --yes."])
        answer = ""
        with suppress(EOFError):
            answer = input("Apply? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            return _refuse(["Nothing was changed."])
    plan = with_secret(plan, {change.slug: _typed(change) for change in lacking})
    return _done(services, plan)


def _done(services: Services, plan: Plan) -> int:
    applied = services.applying.apply(plan, actor())
    for words in applied.ended:
        complain(words)
    for outgoing in applied.made:
        complain(f"{outgoing.link.slug}: register this Redirect URL at the provider: {outgoing.redirect_uri}")
    for slug, credentials in applied.credentials.items():
        say(f"{slug}: client ID {credentials.client_id}")
        if credentials.client_secret:
            say(f"{slug}: client secret {credentials.client_secret} (shown this once)")
    status = 0
    for slug in applied.without_account:
        try:
            services.dance.connect_without_account(slug, "default", actor())
        except AppError as error:
            complain(f"{slug}: it was stored, but isn't connected: {error}")
            status = 1
    return status


def _show(plan: Plan) -> None:
    for change in plan.changes:
        say(f"{change.sign} {change.slug}")
        for name, (old, new) in change.fields.items():
            if name == SECRET:
                say(f"    {name}: {new}")
            elif change.sign == CHANGED:
                say(plain(f"    {name}: {as_text(old) or '(none)'} → {as_text(new) or '(none)'}"))
            else:
                say(plain(f"    {name}: {as_text(new)}"))
        if change.loss:
            say(plain(f"    WARNING: {change.loss}"))
    if plan.unchanged or not plan.changes:
        say(f"= {plan.unchanged} unchanged")


def _lacks(change: Change) -> str:
    variable = change.entry.secret_from if change.entry else ""
    if variable:
        return f"{change.slug}: it needs its client secret: set {variable} or {variable}_FILE. Nothing was changed."
    return f"{change.slug}: it needs its client secret: name a variable in client_secret_from. Nothing was changed."


def _typed(change: Change) -> ClientRegistration:
    """Raises AppError."""
    wanted = change.entry.wanted if change.entry else None
    if not isinstance(wanted, ClientRegistration):
        raise AppError(_lacks(change))
    typed = ""
    with suppress(EOFError):
        typed = getpass.getpass(f"Client secret of {change.slug}: ")
    return replace(wanted, client_secret=read_client_secret(typed, needed=True))


def _refuse(lines: list[str]) -> int:
    for line in lines[:_MOST_COMPLAINTS]:
        complain(plain(line))
    if len(lines) > _MOST_COMPLAINTS:
        complain(f"{len(lines) - _MOST_COMPLAINTS} more are wrong.")
    return 1
