"""The way around Flask for the answer that scripts ask for most: a token, without a query.

Flask's routing, contexts and response take several times as long as finding a token, so that the plain question is answered
here, by the same service as everywhere. What goes wrong is handed on to Flask, whose view raises it where it is put in words.
"""

import re
from typing import Any

from flask import Flask

from applinks.services.tokens import TokenRequest
from applinks.web.address import visitor
from applinks.web.api.asking import key_in
from applinks.web.api.written import token_written
from applinks.web.waiting import a_place_to_wait
from applinks.wiring import Services

WENT_WRONG = "applinks.went_wrong"
_TOKEN = re.compile(r"/api/v1/links/([a-z0-9-]{1,60})/token")


def install(app: Flask, services: Services) -> None:
    inner = app.wsgi_app
    proxies = services.settings.trusted_proxies

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        plain = environ["REQUEST_METHOD"] == "GET" and not environ.get("QUERY_STRING")
        asked = _TOKEN.fullmatch(environ.get("PATH_INFO", "")) if plain else None
        if asked is None:
            return inner(environ, start_response)
        try:
            found = services.tokens.read(
                TokenRequest(asked[1]), key_in(environ), visitor(environ, proxies), a_place_to_wait
            )
        except Exception as error:
            return inner({**environ, WENT_WRONG: error}, start_response)
        body = token_written(found, int(services.clock()))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    app.wsgi_app = answer  # type: ignore[method-assign]
