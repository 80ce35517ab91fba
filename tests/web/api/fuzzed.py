"""`python -m tests.web.api.fuzzed`: an Applinks for a fuzzer, whose one link comes back a while after it was deleted."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from waitress.server import create_server

from applinks import create_app
from applinks.crypto import new_id
from applinks.errors import AppError
from applinks.services import throttle
from applinks.services.registrations import read_registration
from applinks.settings import read_settings
from applinks.wiring import Services
from tests.conftest import ADA
from tests.standin import StandIn

UNMENDED = 20  # requests for which what was deleted stays so, since a fuzzer looks whether it does


def main() -> None:
    """Print the address and a key, and serve until killed."""
    throttle.FAILURES_A_MINUTE = 10**9
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(read_settings({"APPLINKS_DATA_DIR": str(Path(folder) / "data")}))
        services: Services = app.extensions["applinks"]
        provider = StandIn()
        provider.start()
        inner, since = app.wsgi_app, UNMENDED

        def mended(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            nonlocal since
            since = 0 if environ["REQUEST_METHOD"] == "DELETE" else since + 1
            if since >= UNMENDED:
                mend(services, provider)
            return inner(environ, start_response)

        app.wsgi_app = mended  # type: ignore[method-assign]
        server = create_server(app, host="127.0.0.1", port=0, threads=4)
        _, key = services.api_keys.make("fuzzer", None, manages=True, days=1, actor=ADA)
        print(f"http://127.0.0.1:{server.effective_port}", key, flush=True)
        server.run()


def mend(services: Services, provider: StandIn) -> None:
    """See to it that there is a link, connected without anybody's consent."""
    outgoing = services.links.outgoing_or_none("payroll")
    if outgoing and outgoing.connections:
        return
    fields = {
        "name": "Payroll",
        "provider": "custom",
        "grant_type": "client_credentials",
        "token_endpoint": f"{provider.base_url}/token",
        "client_id": "payroll",
        "client_secret": "CANARY-client-secret",
    }
    try:
        if outgoing is None:
            registration = read_registration(services.guard, services.catalogue, fields, secret_needed=True)
            services.links.create(new_id(), registration, ADA)
        services.dance.connect_without_account("payroll", "default", ADA)
    except AppError:
        pass  # another thread has made it meanwhile


if __name__ == "__main__":
    main()
