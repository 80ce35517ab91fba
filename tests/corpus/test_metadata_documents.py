"""Every metadata document that we could think of, over a socket: which is believed, and what it is asked for."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from applinks.oauth.client import Metadata, OAuthClient
from applinks.oauth.guard import Guard
from tests.corpus.cases import Case, answer_of, bounded_memory, case_id, load
from tests.standin import Answer, StandIn, raw_answer

GUARD = Guard(loopback=True, seconds=5)
NOT_FOUND = raw_answer("<h1>Not found</h1>", 404, "text/html")


@dataclass
class Publisher(StandIn):
    """Publishes documents: `document` at every path, or those of `documents` alone."""

    document: Answer = NOT_FOUND

    def _respond(self, request: Request) -> Response:
        return self.documents.get(request.path, self.document)(request)


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    publisher = Publisher()
    publisher.start()
    yield publisher
    publisher.stop()


@pytest.mark.parametrize("case", load("metadata_documents"), ids=case_id)
def test_it_believes_a_document_of_the_issuer_alone(publisher: Publisher, case: Case) -> None:
    given, details = filled_in(case.input, publisher), filled_in(case.details, publisher)
    issuer = given.get("issuer", publisher.base_url)
    publisher.asked.clear()
    publisher.documents = {path: answer_of(answer) for path, answer in given.get("answers", {}).items()}
    publisher.document = NOT_FOUND if "answers" in given else answer_of(given)
    with bounded_memory():
        answer = OAuthClient(GUARD).metadata(issuer)
    assert class_of(answer) == case.expected
    asked = [asked.path for asked in publisher.asked]
    assert asked == details.get("asked", asked)
    assert all(asked.method == "GET" and "Authorization" not in asked.headers for asked in publisher.asked)
    if isinstance(answer, Metadata):
        assert answer.issuer == issuer
        for name in ("authorization_endpoint", "token_endpoint"):
            assert GUARD.endpoint(getattr(answer, name)) == getattr(answer, name)
        for name in details.keys() - {"asked"}:
            told = getattr(answer, name)
            assert (list(told) if isinstance(told, tuple) else told) == details[name]


def filled_in(value: Any, publisher: Publisher) -> Any:
    """The same with the publisher's own address in it."""
    text = json.dumps(value).replace("{base}", publisher.base_url)
    return json.loads(text.replace("{port}", publisher.base_url.rpartition(":")[2]))


def class_of(answer: object) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(answer).__name__).lower()
