"""E8: whatever is sent in place of an API key that counts, the answer is one and the same."""

from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from applinks.crypto import digest
from applinks.models import ApiKey
from applinks.services import throttle
from applinks.services.api_keys import _checksum, id_of
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import ADA, Clock
from tests.corpus.cases import Case, case_id, load

PATHS = ("/api/v1/links/payroll/token", "/api/v1/links", "/api/v1/links/nobody/token?min_ttl=wrong")


@pytest.fixture
def keys(services: Services, clock: Clock) -> dict[str, str]:
    """What the cases' braces stand for."""

    def make(days: int = 90) -> str:
        return services.api_keys.make("script", None, manages=True, days=days, actor=ADA)[1]

    expired = make(1)
    clock.advance(86_400)
    key, another, revoked, empty = (make() for _ in range(4))
    services.api_keys.revoke(id_of(revoked), ADA)
    ApiKey.update(digest="").where(ApiKey.id == id_of(empty)).execute()
    body = another[:17] + key[17:-6]
    at = next(
        at for at in range(len(key) - 10, 0, -1) if key[at] != key[at + 1]
    )  # two that are the same may stand there
    swapped = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
    return {
        **{"key": key, "KEY": key.upper(), "cut": key[:-1], "id": key[:16], "other": body + _checksum(body)},
        **{"digest": digest(key), "revoked": revoked, "expired": expired, "empty": empty, "swapped": swapped},
    }


@pytest.fixture
def ask(
    app: Flask, settings: Settings, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Case, str], TestResponse]:
    monkeypatch.setattr(throttle, "FAILURES_A_MINUTE", 1000)

    def filled(text: str) -> str:
        for name, value in keys.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def ask(case: Case, path: str) -> TestResponse:
        headers = [(name, filled(value)) for name, value in case.input["headers"]]
        method = "POST" if "form" in case.input else "GET"
        if query := filled(case.input.get("query", "")):
            path += ("&" if "?" in path else "?") + query
        data = filled(case.input.get("form", "")) or None
        kind = "application/x-www-form-urlencoded" if data else None
        return app.test_client().open(
            path if method == "GET" else "/api/v1/links",
            method=method,
            headers=headers,
            data=data,
            content_type=kind,
            base_url=settings.base_url,
        )

    return ask


def own(answer: TestResponse) -> dict[str, str]:
    """What differs between any two answers: the name of the request."""
    return {"X-Request-Id": answer.headers["X-Request-Id"]}


@pytest.mark.parametrize("case", load("api_auth"), ids=case_id)
def test_it_refuses_every_key_alike(
    ask: Callable[[Case, str], TestResponse], keys: dict[str, str], connect: Callable[..., None], case: Case
) -> None:
    """A139, A140"""
    connect()
    missing = ask(Case("", {"headers": []}, "", ""), PATHS[0])
    for path in PATHS:
        answer = ask(case, path)
        assert answer.status_code == 401
        assert answer.json == missing.json
        assert dict(answer.headers, **own(answer)) == dict(missing.headers, **own(answer))
        assert keys["key"] not in answer.text


def test_it_takes_the_key_that_all_these_are_made_of(
    ask: Callable[[Case, str], TestResponse], connect: Callable[..., None]
) -> None:
    connect()
    for scheme in ("Bearer", "bearer", "BEARER"):
        case = Case("", {"headers": [["Authorization", f"{scheme} {{key}}"]]}, "", "")
        assert ask(case, PATHS[0]).status_code == 200
