"""`admin`: the people who may sign in."""

import argparse
from typing import Any

from applinks.cli.console import actor, new_password
from applinks.cli.output import complain
from applinks.wiring import Services


def add_to(commands: Any) -> None:
    admin = commands.add_parser("admin", help="create an administrator, give a new password, disable one")
    parts = admin.add_subparsers(dest="part", metavar="PART", required=True)
    for name, text, run in (
        ("create", "make one more; the password is asked for, or the first line of standard input", _create),
        ("password", "give another password, and sign all browsers out", _password),
        ("disable", "sign out for good, and revoke the API keys made by this administrator", _disable),
    ):
        parser = parts.add_parser(name, help=text)
        parser.add_argument("name", metavar="NAME")
        parser.set_defaults(run=run)


def _create(services: Services, asked: argparse.Namespace) -> int:
    services.sign_in.create(asked.name, new_password(), actor())
    complain(f"{asked.name} may sign in at {services.settings.base_url}/sign-in")
    return 0


def _password(services: Services, asked: argparse.Namespace) -> int:
    services.sign_in.set_password(asked.name, new_password(), actor())
    complain(f"{asked.name} has a new password, and is signed out everywhere.")
    return 0


def _disable(services: Services, asked: argparse.Namespace) -> int:
    revoked = services.sign_in.disable(asked.name, actor())
    keys = f" These API keys were revoked: {', '.join(revoked)}." if revoked else ""
    complain(f"{asked.name} can't sign in any more.{keys}")
    return 0
