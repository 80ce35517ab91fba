"""`backup` and `restore`."""

import argparse
from pathlib import Path
from typing import Any

from applinks.cli.output import complain
from applinks.services.backup import backup, restore
from applinks.settings import Settings
from applinks.wiring import Services


def add_to(commands: Any) -> None:
    taking = commands.add_parser("backup", help="copy the database to a file, while it is in use")
    taking.add_argument("file", metavar="FILE", type=Path)
    taking.set_defaults(run=_backup)
    putting = commands.add_parser("restore", help="put a backup back where there is no database")
    putting.add_argument("file", metavar="FILE", type=Path)
    putting.set_defaults(run_unopened=_restore)


def _backup(services: Services, asked: argparse.Namespace) -> int:
    backup(services.settings, asked.file)
    complain(
        f"{asked.file} is a whole copy. It opens with the keys of {services.settings.keys_file} alone: keep both, apart."
    )
    return 0


def _restore(settings: Settings, asked: argparse.Namespace) -> int:
    connected = restore(settings, asked.file)
    complain(f"{settings.database_file} is back, with {connected} connections that have a token. Start the server.")
    if connected:
        complain(
            "A provider may have replaced refresh tokens since the backup: those accounts have to be connected anew."
        )
    return 0
