"""Half of the server's threads may wait on providers; the rest answer, if only to say so."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from flask import Flask
from werkzeug.wrappers import Request, Response

from applinks.models import Connection, database
from applinks.web.waiting import SERVER_THREADS
from tests.standin import StandIn, callback_path, json_answer
from tests.visitor import Visitor


def test_it_refuses_the_ninth_that_would_wait(
    app: Flask, ada: Visitor, provider: StandIn, link_id: str, connect: Callable[..., None]
) -> None:
    places, release = SERVER_THREADS // 2, threading.Event()
    paths = [
        callback_path(
            link_id, provider.consent(ada.continue_url(ada.post("/links/payroll/connect", {"label": f"n{number}"})))
        )
        for number in range(places + 1)
    ]

    def hang(request: Request) -> Response:
        release.wait(20)
        return json_answer(provider.grant())(request)

    provider.answer(*[hang] * places)

    def come(path: str) -> int:
        try:
            return ada.get(path).status_code
        finally:
            database.close()

    with ThreadPoolExecutor(places) as pool:
        waiting = [pool.submit(come, path) for path in paths[:places]]
        deadline = threading.Event()
        for _ in range(200):
            if len(provider.token_requests) == places:
                break
            deadline.wait(0.05)
        refused = ada.get(paths[places])
        ordinary = ada.get("/links")
        release.set()
        assert [done.result() for done in waiting] == [303] * places
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "5"
    assert ordinary.status_code == 200
    assert Connection.select().count() == places
    assert ada.get(paths[places]).status_code == 303
