"""Every error as a page that says what happened, why and what to do; never a stack trace."""

import json
import logging
from types import TracebackType
from typing import Any

from flask import Flask, g, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from peewee import DatabaseError, DataError, IntegrityError, InterfaceError
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from applinks.errors import AppError, ConflictError, InvalidFieldError, InvalidFieldsError
from applinks.web.current import by_htmx, services
from applinks.web.gate import for_programs
from applinks.web.requests import request_name

log = logging.getLogger(__name__)

_PLAIN = {
    400: ("This request can't be understood", "Go back and try again."),
    404: ("Page not found", "There is nothing at this address. It may have been deleted, or the link to it is wrong."),
    405: ("This can't be done here", "The address exists, but not for this kind of request."),
    413: ("Too much was sent", "A form may hold 64 KiB at most."),
}
# What programs are told, who can't be helped with a sentence; an AppError has its own.
_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    500: "unexpected",
    503: "busy",
}
_DATABASE_SAYS = {
    "locked": "Somebody else is writing to it for long.",
    "full": "The disk is full.",
    "readonly": "It can only be read.",
    "read-only": "It can only be read.",
    "disk I/O": "The disk can't be written to.",
    "malformed": "A part of it is damaged: restore a backup.",
    "unable to open": "Its file can't be opened.",
}
RETRY_SECONDS = 5


def install(app: Flask) -> None:
    @app.errorhandler(AppError)
    def known(error: AppError) -> ResponseReturnValue:
        retry_after = getattr(error, "retry_after", 0)
        headers = {"Retry-After": str(retry_after)} if retry_after else {}
        if challenge := getattr(error, "challenge", ""):
            headers["WWW-Authenticate"] = challenge
        return problem(error, headers) if for_programs() else page(error.status, error.title, str(error), headers)

    @app.errorhandler(CSRFError)
    def forged(error: CSRFError) -> ResponseReturnValue:
        return page(
            400,
            "This form is too old",
            "It was opened before you signed in, or in another session, so nothing was changed. Open the page again.",
        )

    @app.errorhandler(HTTPException)
    def plain(error: HTTPException) -> ResponseReturnValue:
        status = error.code or 500
        title, message = _PLAIN.get(status, (error.name, "The request wasn't carried out."))
        headers = {"Allow": ", ".join(sorted(error.valid_methods or ()))} if hasattr(error, "valid_methods") else {}
        return page(status, title, message, headers)

    @app.errorhandler(IntegrityError)
    def overtaken(error: IntegrityError) -> ResponseReturnValue:
        """Everything is checked before it is written: a row that is gone, or there, by then is somebody else's doing."""
        log.info("Something was stored or deleted meanwhile at %s.", request.endpoint)
        return page(
            409, ConflictError.title, "What this is about was changed or deleted in the meantime. Look at it again."
        )

    @app.errorhandler(DataError)
    def unstorable(error: DataError) -> ResponseReturnValue:
        return page(400, _PLAIN[400][0], "It holds a character or a number that can't be stored. Nothing was changed.")

    @app.errorhandler(DatabaseError)
    @app.errorhandler(InterfaceError)
    def unusable(error: Exception) -> ResponseReturnValue:
        """Locked, full, read-only or away: whatever it is, it may be over soon."""
        log.error("The database can't be used at %s: %s", request.endpoint, type(error).__name__)
        g.browser_session = None  # the page of an error asks nothing of the database
        return page(
            503,
            "The database can't be used now",
            f"{_why(error)} If you were saving something, look whether it was stored, and try again in a moment.",
            {"Retry-After": str(RETRY_SECONDS)},
        )

    @app.errorhandler(MemoryError)
    def without_memory(error: MemoryError) -> ResponseReturnValue:
        log.error("There isn't enough memory at %s.", request.endpoint)
        return page(
            503,
            "There isn't enough memory now",
            "If you were saving something, look whether it was stored, and try again in a moment.",
            {"Retry-After": str(RETRY_SECONDS)},
        )

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> ResponseReturnValue:
        log.error("Unexpected at %s: %s", request.endpoint, type(error).__name__, exc_info=_without_values(error))
        return page(
            500,
            "Something went wrong here",
            f"It is in the log of request {request_name()}. What was stored is untouched.",
        )


def problem(error: AppError, headers: dict[str, str]) -> ResponseReturnValue:
    """An error for programs (RFC 9457); `url` is the page where a person mends it."""
    more: dict[str, Any] = {}
    if isinstance(error, InvalidFieldError):
        more["fields"] = {error.field: str(error)}
    elif isinstance(error, InvalidFieldsError):
        more["fields"] = error.fields
    slug = (request.view_args or {}).get("slug")
    if error.status == 409 and slug:
        more["url"] = f"{services().settings.base_url}/links/{slug}"
    return _problem(error.status, error.code, str(error), headers, more)


def _problem(
    status: int, code: str, detail: str, headers: dict[str, str] | None, more: dict[str, Any] | None = None
) -> ResponseReturnValue:
    title = HTTP_STATUS_CODES.get(status, "Error")
    said = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail} | (more or {})
    return make_response(json.dumps(said), status, {"Content-Type": "application/problem+json"} | (headers or {}))


def page(status: int, title: str, message: str, headers: dict[str, str] | None = None) -> ResponseReturnValue:
    """An error page. For htmx, it takes the place of the whole page, wherever the request came from."""
    if for_programs():
        return _problem(status, _CODES.get(status, "refused"), message, headers)
    try:
        text, kind = render_template("error.html", title=title, message=message), "text/html; charset=utf-8"
    except OSError:  # no file can be opened any more, not even a template
        text, kind = f"{title}. {message}", "text/plain; charset=utf-8"
    response = make_response(text, status, {"Content-Type": kind})
    response.headers.update(headers or {})
    if by_htmx():
        response.headers.update({"HX-Retarget": "body", "HX-Reswap": "innerHTML"})
    return response


def _why(error: Exception) -> str:
    """What SQLite says, for people; PostgreSQL tells its operator, in its log."""
    said = str(error)
    return next((words for sign, words in _DATABASE_SAYS.items() if sign in said), "It doesn't answer as it should.")


def _without_values(error: Exception) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """The traceback without the exception's own words: they may quote what was sent."""
    return type(error), RuntimeError(type(error).__name__), error.__traceback__
