"""The commands of Applinks. Settings come from the environment.

Exit status 0: done; 1: it can't be done, and why is said; 2: it can't start, or wasn't asked rightly; 3: the keys are
missing, wrong or readable by others, or, of a token, that a person must act; 4: of a token, that the provider is away.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from peewee import DatabaseError, InterfaceError

from applinks import create_app
from applinks.cli import admin, api_keys, backups, events, keys, links, logs, token
from applinks.cli.check import check
from applinks.cli.output import complain
from applinks.cli.serve import serve, work
from applinks.errors import AppError, StartRefusedError
from applinks.settings import read_remote, read_settings
from applinks.wiring import Services

FINISH_SECONDS = 40.0

_LONG_LIVED = {"serve": serve, "demo": serve, "worker": work}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, the one of the process where none is given; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    asked = _parser().parse_args(arguments or ["serve"])
    logs.install(as_json=os.environ.get("APPLINKS_LOG") == "json")
    try:
        return _run(asked)
    except StartRefusedError as error:
        complain(f"Applinks can't start. {error}")
        return error.exit_status
    except AppError as error:
        complain(str(error))
        return 1
    except (DatabaseError, InterfaceError) as error:
        complain(f"The database can't be used: {error}.")
        return 1
    except BrokenPipeError:  # whoever read it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _run(asked: argparse.Namespace) -> int:
    if asked.command in _LONG_LIVED:
        logs.watch_threads()
        return _LONG_LIVED[asked.command](read_settings(os.environ, demo=asked.command == "demo"))
    if hasattr(asked, "run_unopened"):
        return cast(int, asked.run_unopened(read_settings(os.environ), asked))
    remote = read_remote(os.environ)
    if remote and hasattr(asked, "run_remotely"):
        return cast(int, asked.run_remotely(remote, asked))
    app = create_app(read_settings(os.environ), may_make=False)
    services = cast(Services, app.extensions["applinks"])
    try:
        return cast(Callable[[Services, argparse.Namespace], int], asked.run)(services, asked)
    finally:
        if not services.health.read_only:
            services.renewal.finish(FINISH_SECONDS)  # what a provider has granted must be stored
            services.counts.stop()
            services.refresher.stop()


def _called() -> str:
    """How this program was started: as a module of a checkout, or by its own name."""
    name = Path(sys.argv[0]).name
    return f"python {name}" if name.endswith(".py") else name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_called(), description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(environ=os.environ)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands.add_parser(
        "serve", help="serve pages and the HTTP API, and refresh tokens; what happens without a command"
    )
    commands.add_parser("demo", help="the same with a provider to try it on")
    commands.add_parser("worker", help="refresh tokens beside servers that run with APPLINKS_REFRESHER=off")
    checking = commands.add_parser("check", help="say how everything is; exit status 1 where somebody must act")
    checking.set_defaults(run=lambda services, _: check(services))
    for part in (token, links, api_keys, admin, events, keys, backups):
        part.add_to(commands)
    return parser
