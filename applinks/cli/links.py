"""`links`: list, show, add, edit, delete, connect, check; `links_code` has export and apply."""

import argparse
import json
from contextlib import suppress
from typing import Any

from applinks.cli import links_code
from applinks.cli.console import actor, text_of
from applinks.cli.output import as_json, complain, moment_or, say, table
from applinks.cli.remote import Remotely
from applinks.crypto import new_id
from applinks.errors import AppError, InvalidFieldsError
from applinks.models import Connection, State
from applinks.services.findings import Result, worst
from applinks.services.links import NEEDS_YOU, connections_of
from applinks.services.registrations import changed, read_registration
from applinks.services.written import check_written, link_written, row_written
from applinks.settings import Remote
from applinks.wiring import Services

_FLAGS = ("name", "provider", "client-id", "scopes")


def add_to(commands: Any) -> None:
    links = commands.add_parser("links", help="list, show, add, edit, delete, connect, check, export, apply")
    parts = links.add_subparsers(dest="part", metavar="PART", required=True)
    listing = parts.add_parser("list", help="every link with its state")
    listing.add_argument("--search", metavar="TEXT", default="", help="how words of the name begin")
    listing.add_argument(
        "--state", choices=[NEEDS_YOU, *(str(state) for state in State)], help="only those that are so"
    )
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_list, run_remotely=_list_remotely)
    showing = _about_one(parts, "show", "a link with its connections", _show)
    showing.add_argument("--json", action="store_true")
    adding = parts.add_parser("add", help="make an outgoing link")
    adding.set_defaults(run=_add)
    editing = _about_one(parts, "edit", "change what is given", _edit)
    for parser in (adding, editing):
        for flag in _FLAGS:
            parser.add_argument(f"--{flag}")
        parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], help="any other field")
        parser.add_argument("--from", metavar="FILE", dest="file", help="fields as a JSON object; - for standard input")
        parser.add_argument("--secret-file", metavar="FILE", help="holds the client secret; - for standard input")
    deleting = _about_one(parts, "delete", "delete a link with its connections", _delete)
    deleting.add_argument("--yes", action="store_true", help="don't only say what would be deleted")
    checking = _about_one(parts, "check", "say what is wrong with a link; exit status 1 where a step fails", _check)
    checking.add_argument("--json", action="store_true")
    _about_one(parts, "connect", "print the address where an account is connected", _connect)
    links_code.add_to(parts)


def _about_one(parts: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parts.add_parser(name, help=text)
    parser.add_argument("link", metavar="LINK", help="the link's slug")
    parser.set_defaults(run=run)
    return parser


def _list(services: Services, asked: argparse.Namespace) -> int:
    rows, after = [], ""
    while True:
        page = services.links.page(asked.search, after, state=asked.state or "")
        rows += [row_written(row, services.settings.base_url) for row in page.rows]
        if not (after := page.after):
            return _print(rows, asked)


def _list_remotely(remote: Remote, asked: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    after = None
    while True:
        answer = Remotely(remote).get("links", {"search": asked.search or None, "state": asked.state, "after": after})
        if answer.status != 200:
            complain(answer.complaint)
            return 1
        rows += answer.content["links"]
        if not (after := answer.content["after"]):
            return _print(rows, asked)


def _print(rows: list[dict[str, Any]], asked: argparse.Namespace) -> int:
    if asked.json:
        as_json(rows)
        return 0
    heads = ("LINK", "NAME", "DIRECTION", "STATE", "ACCOUNT", "TOKEN EXPIRES")
    cells = [
        (row["slug"], row["name"], row["direction"], row["state"] or "", row["account"] or "")
        + (moment_or(row["expires_at"], ""),)
        for row in rows
    ]
    table(heads, cells)
    return 0


def _show(services: Services, asked: argparse.Namespace) -> int:
    found = link_written(services.links, services.links.find(asked.link), services.settings.base_url)
    if asked.json:
        as_json(found)
        return 0
    connections = found.pop("connections", [])
    table(("FIELD", "VALUE"), [(name, value) for name, value in found.items() if value not in ("", None)])
    heads = ("CONNECTION", "STATE", "ACCOUNT", "TOKEN EXPIRES", "SAYS")
    rows = [
        (row["label"], row["state"], row["account"], moment_or(row["expires_at"], ""), row["words"])
        for row in connections
    ]
    if rows:
        say("")
        table(heads, rows)
    return 0


def _add(services: Services, asked: argparse.Namespace) -> int:
    registration = read_registration(services.guard, services.catalogue, _fields(asked), secret_needed=True)
    link = services.links.create(new_id(), registration, actor())
    say(link.slug)
    if registration.profile.without_account:
        return _connect_without_account(services, link.slug)
    complain(f"Register this Redirect URL at the provider: {services.links.redirect_uri(link.id)}")
    complain(f"Then connect an account: {services.settings.base_url}/links/{link.slug}")
    return 0


def _edit(services: Services, asked: argparse.Namespace) -> int:
    outgoing = services.links.outgoing(asked.link)
    fields = changed(outgoing, _fields(asked))
    registration = read_registration(services.guard, services.catalogue, fields, secret_needed=False)
    version = int(outgoing.link.version)
    if services.links.update(outgoing, registration, version=version, actor=actor()):
        complain("The link's accounts were disconnected, since they were for what it was before.")
    return 0


def _delete(services: Services, asked: argparse.Namespace) -> int:
    link = services.links.find(asked.link)
    outgoing, ended = services.links.outgoing_or_none(asked.link), connections_of(link.id)
    if not asked.yes:
        complain(f"{link.name} and its {len(ended)} connections would be deleted. To do that, add --yes.")
        return 1
    services.links.delete(link, actor())
    words = services.connections.end_grants(outgoing, ended).words if outgoing else ""
    if words:
        complain(words)
    return 0


def _check(services: Services, asked: argparse.Namespace) -> int:
    findings = services.checks.everything(services.links.outgoing(asked.link), actor())
    if asked.json:
        as_json(check_written(findings))
    for finding in [] if asked.json else findings:
        label = f" ({finding.label})" if finding.label else ""
        say(f"{finding.result:7}  {finding.title}{label}: {finding.cause}")
        if finding.mend:
            say(f"         {finding.mend}")
    return 1 if worst(findings) is Result.FAILED else 0


def _connect(services: Services, asked: argparse.Namespace) -> int:
    outgoing = services.links.outgoing(asked.link)
    if outgoing.profile.without_account:
        return _connect_without_account(services, asked.link)
    say(f"{services.settings.base_url}/links/{asked.link}")
    return 0


def _connect_without_account(services: Services, slug: str) -> int:
    connection: Connection = services.dance.connect_without_account(slug, "default", actor())
    complain(f"{connection.label} is connected.")
    return 0


def _fields(asked: argparse.Namespace) -> dict[str, str]:
    """What the flags and a file say. Raises AppError."""
    fields: dict[str, str] = {}
    if asked.file is not None:
        with suppress(ValueError, RecursionError):
            fields = json.loads(text_of(asked.file))
        if not isinstance(fields, dict) or not fields or not all(isinstance(text, str) for text in fields.values()):
            raise AppError(f'{asked.file} must hold a JSON object of texts, such as {{"name": "Payroll"}}.')
    for flag in _FLAGS:
        value = getattr(asked, flag.replace("-", "_"))
        if value is not None:
            fields[flag.replace("-", "_")] = value
    for pair in asked.set:
        name, sign, value = pair.partition("=")
        if name == "client_secret" or not sign:
            wrong = (
                "Everybody on this machine can read arguments: give --secret-file." if sign else "Write FIELD=VALUE."
            )
            raise InvalidFieldsError({name: wrong})
        fields[name] = value
    if asked.secret_file is not None:
        fields["client_secret"] = text_of(asked.secret_file).strip()
    return fields
