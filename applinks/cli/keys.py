"""`keys`: new encryption keys in place of older ones."""

import argparse
import time
from typing import Any

from applinks.cli.console import actor
from applinks.cli.output import complain, say, table
from applinks.crypto import new_encryption_key, write_keys
from applinks.settings import Settings
from applinks.wiring import Services

# A running server takes over a new key within a second or two; until then it may seal under the one before.
PASSES = 15
PAUSE_SECONDS = 1.0


def add_to(commands: Any) -> None:
    keys = commands.add_parser("keys", help="new encryption keys in place of older ones")
    parts = keys.add_subparsers(dest="part", metavar="PART", required=True)
    generating = parts.add_parser("generate", help="put a new key first in the keys file; older ones go on reading")
    generating.add_argument(
        "--print",
        action="store_const",
        const=_print,
        dest="run_unopened",
        default=argparse.SUPPRESS,
        help="print its line, and change nothing",
    )
    generating.set_defaults(run=_generate)
    parts.add_parser("rotate", help="re-encrypt everything with the first key, while servers run").set_defaults(
        run=_rotate
    )
    parts.add_parser("status", help="which keys there are, and how much is under each").set_defaults(run=_status)
    dropping = parts.add_parser("drop", help="take a key that nothing is under out of the file")
    dropping.add_argument("key_id", metavar="KEY")
    dropping.set_defaults(run=_drop)


def _print(settings: Settings, asked: argparse.Namespace) -> int:
    say(write_keys([new_encryption_key()]).rstrip("\n"))
    complain("Nothing was changed. Put this line into every machine's keys file, and only then first in each of them.")
    return 0


def _generate(services: Services, asked: argparse.Namespace) -> int:
    key_id = services.rotation.generate(actor())
    complain(
        f"{key_id} is what is written with from now on. Keep a copy of {services.settings.keys_file} in a safe place."
    )
    complain("To bring what is stored already under it, run: keys rotate")
    return 0


def _rotate(services: Services, asked: argparse.Namespace) -> int:
    rotation, total, unreadable = services.rotation, 0, list[str]()
    for again in range(PASSES):
        done: dict[str, int] = {}
        unreadable = rotation.rotate(done.__setitem__)
        for words, count in done.items():
            say(f"{count:7}  {words}")
        total += sum(done.values())
        left = sum(rotation.left().values()) - len(unreadable)
        if left <= 0 or again == PASSES - 1:
            break
        time.sleep(PAUSE_SECONDS)
    if total:
        rotation.record(actor(), f"{total} values.")
    for which in unreadable:
        complain(f"Can't be opened with any of the keys, and was left as it is: {which}")
    kinds = rotation.left()
    if kinds:
        complain(f"Left: {', '.join(f'{count} {words}' for words, count in kinds.items())}.")
        return 1
    complain("Everything is under the first key.")
    return 0


def _status(services: Services, asked: argparse.Namespace) -> int:
    held = services.rotation.held()
    table(("KEY", "VALUES", "USE"), [(key.key_id, key.values, _use(key.values, writes=key.writes)) for key in held])
    return 0


def _use(values: int, *, writes: bool) -> str:
    if writes:
        return "writes, and reads"
    return "reads; run: keys rotate" if values else "none; run: keys drop"


def _drop(services: Services, asked: argparse.Namespace) -> int:
    services.rotation.drop(asked.key_id, actor())
    complain(
        f"{asked.key_id} is out of the keys file. Backups from before the rotation still need it: keep it with them."
    )
    return 0
