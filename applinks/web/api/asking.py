"""Who asks, and what for: the API key in the header, the query, and the JSON of a body, all read strictly."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import Blueprint, request

from applinks.errors import InvalidFieldError, InvalidFieldsError
from applinks.services.access import Access
from applinks.web.current import client_address, services
from applinks.web.gate import from_applications

View = TypeVar("View", bound=Callable[..., Any])

_BEARER = re.compile(r"bearer +([A-Za-z0-9_-]{1,200})", re.IGNORECASE)  # RFC 6750 §2.1, RFC 9110 §11.1
_NUMBER = re.compile(r"[0-9]{1,16}")
_TEXT_LENGTH = 16_384


def route(blueprint: Blueprint, method: str, path: str) -> Callable[[View], View]:
    """A route for programs: no session, no origin, and no OPTIONS that nobody asked for."""

    def mark(view: View) -> View:
        blueprint.route(path, methods=[method], provide_automatic_options=False)(from_applications(view))
        return view

    return mark


def key() -> str:
    """The API key or access token that was sent, empty for none: only as `Authorization: Bearer`, and only once."""
    return key_in(request.environ)


def key_in(environ: Mapping[str, Any]) -> str:
    """The same of a request that Flask doesn't see."""
    found = _BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))  # a server joins two by a comma
    return found[1] if found else ""


def access() -> Access:
    """Whoever shows an API key, or an access token of ours, that counts. Raises UnauthorizedError or ThrottledError."""
    shown, address = key(), client_address()
    return services().issued.access(shown, address) or services().api_keys.authenticate(shown, address)


def query(**readers: Callable[[str, str], Any]) -> dict[str, Any]:
    """The parameters of the query by their readers, None where one wasn't sent.

    Raises InvalidFieldsError for one that is wrong, sent twice or unknown.
    """
    found: dict[str, Any] = dict.fromkeys(readers)
    if not request.environ.get("QUERY_STRING"):
        return found
    wrong = {name: "There is no such parameter." for name in request.args if name not in readers}
    for name, reader in readers.items():
        texts = request.args.getlist(name)
        try:
            if len(texts) > 1:
                raise InvalidFieldError(name, "Send it once.")
            if texts:
                found[name] = reader(name, texts[0])
        except InvalidFieldError as error:
            wrong[name] = str(error)
    if wrong:
        raise InvalidFieldsError(wrong)
    return found


def body(*names: str) -> dict[str, str]:
    """The texts of a JSON object that may hold these names, others and other types being wrong.

    Raises InvalidFieldsError.
    """
    try:
        sent = json.loads(request.get_data())
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, Mapping):
        raise InvalidFieldsError({"body": "Send a JSON object."})
    wrong = {}
    for name, value in sent.items():
        if name not in names:
            wrong[name[:80]] = "There is no such field."
        elif not isinstance(value, str) or len(value) > _TEXT_LENGTH or not is_text(value):
            wrong[name] = "Write it as a text."
    if wrong:
        raise InvalidFieldsError(wrong)
    return dict(sent)


def is_text(value: str) -> bool:
    """Whether both databases can store it: no NUL, and no half of a character."""
    return not re.search("[\0\ud800-\udfff]", value)


def number(most: int, least: int = 0) -> Callable[[str, str], int]:
    """A reader of whole numbers."""

    def read(name: str, text: str) -> int:
        if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
            raise InvalidFieldError(name, f"Write a whole number from {least} to {most}.")
        return int(text)

    return read


def text(length: int) -> Callable[[str, str], str]:
    """A reader of short texts."""

    def read(name: str, value: str) -> str:
        if len(value) > length or not is_text(value):
            raise InvalidFieldError(name, f"At most {length} characters, and no NUL.")
        return value

    return read


def one_of(*words: str) -> Callable[[str, str], str]:
    """A reader of certain words."""

    def read(name: str, value: str) -> str:
        if value not in words:
            raise InvalidFieldError(name, f"Write one of {', '.join(words)}.")
        return value

    return read
