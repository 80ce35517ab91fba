"""The commands that run until they are stopped: serve and demo, and worker."""

import signal
import time
from typing import Any, NoReturn, cast

from flask import Flask
from waitress.server import create_server

from applinks import create_app
from applinks.cli.output import say
from applinks.errors import StartRefusedError
from applinks.services import demo as seeds
from applinks.settings import Settings
from applinks.web.waiting import SERVER_THREADS, finish_waiting
from applinks.wiring import Services

# Pages refuse forms over 64 KiB in words; what is far over isn't even received.
BODY_BYTES = 1024 * 1024

STOP_SECONDS = 40.0
LOOK_SECONDS = 0.5
_STOPPED_BY = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings) -> int:
    """Serve pages and the HTTP API, and refresh tokens."""
    app = create_app(settings)
    services = cast(Services, app.extensions["applinks"])
    if services.health.read_only and (settings.demo or not services.sign_in.anybody()):
        raise StartRefusedError(f"{settings.database_place} can only be read, so nobody can be signed in.")
    server = _listen(app, settings)  # first, so that a taken port re-points nothing
    if settings.demo:
        seeds.seed(services.links, services.incoming, settings.base_url, int(time.time()))
    for number in _STOPPED_BY:
        signal.signal(number, _stop)
    try:
        if settings.refresher and not services.health.read_only:
            services.refresher.start()
        say(_welcome(services))
        server.run()
    finally:
        services.refresher.begin_no_more()
        # The server cuts off what takes longer than five seconds: what a provider is about to grant must be stored.
        finish_waiting(STOP_SECONDS)
        services.counts.stop()
        services.refresher.stop()
    return 0


def work(settings: Settings) -> int:
    """Refresh until told to stop."""
    services = cast(Services, create_app(settings, may_make=False).extensions["applinks"])
    if services.health.read_only:
        raise StartRefusedError(f"{settings.database_place} can only be read, so nothing can be refreshed.")
    for number in _STOPPED_BY:
        signal.signal(number, _stop)
    try:
        services.refresher.start()
        say(f"Applinks refreshes the tokens of {settings.database_place}. Ctrl-C stops it.")
        while True:
            time.sleep(LOOK_SECONDS)  # a signal that came just before signal.pause() would wake nobody
    finally:
        services.refresher.stop()


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
