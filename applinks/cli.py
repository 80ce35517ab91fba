"""The commands of `python app.py`: none serves, `demo` serves a seeded Applinks."""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO, cast

from flask import Flask
from waitress.server import create_server

from applinks import create_app
from applinks.errors import StartRefusedError
from applinks.services import demo as seeds
from applinks.settings import Settings, read_settings
from applinks.web.waiting import SERVER_THREADS
from applinks.wiring import Services

# Pages refuse forms over 64 KiB in words; what is far over isn't even received.
BODY_BYTES = 1024 * 1024

_STOPPED_BY = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python app.py", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("serve", "demo"), default="serve")
    command = parser.parse_args(arguments).command
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        return _serve(read_settings(os.environ, demo=command == "demo"))
    except StartRefusedError as error:
        _say(f"Applinks can't start. {error}", sys.stderr)
        return error.exit_status


def _serve(settings: Settings) -> int:
    app = create_app(settings)
    services = cast(Services, app.extensions["applinks"])
    server = _listen(app, settings)  # first, so that a taken port re-points nothing
    if settings.demo:
        seeds.seed(services.links, settings.base_url, int(time.time()))
    for number in _STOPPED_BY:
        signal.signal(number, _stop)
    services.refresher.start()
    try:
        _say(_welcome(services))
        server.run()
    finally:
        services.refresher.stop()
    return 0


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
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def _welcome(services: Services) -> str:
    settings, sign_in = services.settings, services.sign_in
    lines = [
        f"Applinks listens at {settings.host}:{settings.port}, its data is in {settings.data_dir}. Ctrl-C stops it."
    ]
    if settings.demo:
        lines.append("This is the demo: its provider is this Applinks itself. The address below signs you in once.")
    elif not sign_in.anybody():
        lines.append("There is no administrator yet. The address below makes the first one, within 30 minutes.")
    else:
        return "\n".join([*lines, f"Open {settings.base_url}/"])
    return "\n".join([*lines, f"Open {settings.base_url}/setup/{sign_in.new_setup_code()}"])


def _say(text: str, out: TextIO = sys.stdout) -> None:
    print(text, file=out, flush=True)
