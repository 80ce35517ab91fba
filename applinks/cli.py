"""The commands of `python app.py`.

serve    serves pages and refreshes tokens; this is what happens without a command
demo     the same with a provider to try it on
worker   refreshes tokens beside servers that run with APPLINKS_REFRESHER=off
check    says how the database, the refresher and every connection are; exit status 1 where somebody must act

Exit status 2: it can't start; 3: the keys are missing, wrong or readable by others. Settings come from the environment.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, TextIO, cast

from flask import Flask
from peewee import DatabaseError, InterfaceError
from waitress.server import create_server

from applinks import create_app
from applinks.errors import StartRefusedError
from applinks.services import demo as seeds
from applinks.services.inspection import Inspected
from applinks.settings import Settings, read_settings
from applinks.web.waiting import SERVER_THREADS, finish_waiting
from applinks.web.words import state_words
from applinks.wiring import Services

# Pages refuse forms over 64 KiB in words; what is far over isn't even received.
BODY_BYTES = 1024 * 1024

STOP_SECONDS = 40.0
LOOK_SECONDS = 0.5
_STOPPED_BY = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python app.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=list(_COMMANDS), default="serve")
    command = parser.parse_args(arguments).command
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a line a request, as long as there are many
    try:
        return _COMMANDS[command](read_settings(os.environ, demo=command == "demo"))
    except StartRefusedError as error:
        _say(f"Applinks can't start. {error}", sys.stderr)
        return error.exit_status


def _serve(settings: Settings) -> int:
    app = create_app(settings)
    services = cast(Services, app.extensions["applinks"])
    if services.health.read_only and (settings.demo or not services.sign_in.anybody()):
        raise StartRefusedError(f"{settings.database_place} can only be read, so nobody can be signed in.")
    server = _listen(app, settings)  # first, so that a taken port re-points nothing
    if settings.demo:
        seeds.seed(services.links, settings.base_url, int(time.time()))
    for number in _STOPPED_BY:
        signal.signal(number, _stop)
    try:
        if settings.refresher and not services.health.read_only:
            services.refresher.start()
        _say(_welcome(services))
        server.run()
    finally:
        services.refresher.begin_no_more()
        # The server cuts off what takes longer than five seconds: what a provider is about to grant must be stored.
        finish_waiting(STOP_SECONDS)
        services.refresher.stop()
    return 0


def _work(settings: Settings) -> int:
    """Refresh until told to stop."""
    services = cast(Services, create_app(settings, may_make=False).extensions["applinks"])
    if services.health.read_only:
        raise StartRefusedError(f"{settings.database_place} can only be read, so nothing can be refreshed.")
    for number in _STOPPED_BY:
        signal.signal(number, _stop)
    try:
        services.refresher.start()
        _say(f"Applinks refreshes the tokens of {settings.database_place}. Ctrl-C stops it.")
        while True:
            time.sleep(LOOK_SECONDS)  # a signal that came just before signal.pause() would wake nobody
    finally:
        services.refresher.stop()


def _check(settings: Settings) -> int:
    """Say how everything is; the exit status is 1 where somebody must act."""
    services = cast(Services, create_app(settings, may_make=False).extensions["applinks"])
    health, damage = services.health.report(), services.inspection.damage()
    how = (damage or "sound") if health.database else "which doesn't answer as it should"
    _say(f"Database: {settings.database_place}, {how}{', can only be read' if health.read_only else ''}")
    seen = f", last seen {_moment(health.seen_at)}" if health.seen_at else ""
    _say(f"Refresher: {'; '.join(health.places) or 'stopped'}{seen}")
    try:
        connections = services.inspection.connections()
    except (DatabaseError, InterfaceError) as error:
        _say(f"The connections can't be read: {error}.{' Restore a backup of the database.' if damage else ''}")
        return 1
    for found in connections:
        _say(f"{found.link.slug} {found.connection.label}: {'; '.join(_facts(found))}")
        for event in found.events:
            times = f", {event.count} times" if event.count > 1 else ""
            by = f" by {event.actor}" if event.actor else ""
            _say(f"    {_moment(event.last_at)}  {event.what}{times}{by}{f': {event.words}' if event.words else ''}")
    waiting = sum(found.needs_a_person for found in connections)
    well = f"{len(connections) - waiting} of {len(connections)} connections are well."
    _say(well if connections else "There are no connections yet.")
    stopped = health.anything_to_refresh and not health.refreshing
    return 1 if damage or waiting or stopped or health.read_only else 0


def _facts(found: Inspected) -> list[str]:
    row, words = found.connection, state_words(found.state)
    facts = [words.label, row.account, row.words if found.state == row.state else words.why]
    facts += [
        f"{what} {_moment(at)}" for what, at in (("expires", row.expires_at), ("refreshed", row.refreshed_at)) if at
    ]
    return [fact for fact in facts if fact]


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _listen(app: Flask, settings: Settings) -> Any:
    try:
        return create_server(
            app,
            host=settings.host,
            port=settings.port,
            threads=SERVER_THREADS,
            ident=None,
            clear_untrusted_proxy_headers=False,  # APPLINKS_TRUSTED_PROXIES decides which of them count
            max_request_body_size=BODY_BYTES,
        )
    except OSError as error:
        why = f"{error.strerror}. Choose another APPLINKS_PORT"
    except ValueError:
        why = "APPLINKS_HOST is no address of this machine"
    raise StartRefusedError(f"{settings.host}:{settings.port} can't be listened at: {why}.")


def _stop(signum: int, frame: object) -> NoReturn:
    """Stop once: a second Ctrl-C must not cut off a refresh whose token the provider has replaced already."""
    for number in _STOPPED_BY:
        signal.signal(number, lambda *_: None)  # of SIG_IGN and a signal that is on its way Python would complain
    raise SystemExit(0)


def _welcome(services: Services) -> str:
    settings, sign_in = services.settings, services.sign_in
    lines = [
        f"Applinks listens at {settings.host}:{settings.port}, its data is in {_whereabouts(settings)}. Ctrl-C stops it."
    ]
    if services.health.read_only:
        lines.append("The database can only be read: nothing can be changed, and no token is refreshed.")
    if settings.demo:
        lines.append("This is the demo: its provider is this Applinks itself. The address below signs you in once.")
    elif not sign_in.anybody():
        lines.append("There is no administrator yet. The address below makes the first one, within 30 minutes.")
    else:
        return "\n".join([*lines, f"Open {settings.base_url}/"])
    return "\n".join([*lines, f"Open {settings.base_url}/setup/{sign_in.new_setup_code()}"])


def _whereabouts(settings: Settings) -> str:
    return settings.database_place if settings.database_url else str(settings.data_dir)


def _say(text: str, out: TextIO = sys.stdout) -> None:
    print(text, file=out, flush=True)


_COMMANDS: dict[str, Callable[[Settings], int]] = {"serve": _serve, "demo": _serve, "worker": _work, "check": _check}
