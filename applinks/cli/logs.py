"""The log: one line an event on standard error, plain or JSON, with the name of the request that it is about."""

import json
import logging
import threading
import time
import unicodedata

from applinks.web.requests import request_name

log = logging.getLogger(__name__)

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def install(*, as_json: bool) -> None:
    """Write what needs somebody's attention, and nothing else."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if as_json else Plain())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a line a request, as long as there are many


def watch_threads() -> None:
    """Have a thread that ends by an error say so here, and not in many lines beside it."""
    threading.excepthook = _ended


def _ended(thread: threading.ExceptHookArgs) -> None:
    """Without the exception's own words: they may quote what was sent."""
    kind = thread.exc_type.__name__
    name = thread.thread.name if thread.thread else "that is gone"
    if not issubclass(thread.exc_type, SystemExit):
        log.critical(
            "The thread %s has ended.", name, exc_info=(RuntimeError, RuntimeError(kind), thread.exc_traceback)
        )


class Plain(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", _TIME)

    def format(self, record: logging.LogRecord) -> str:
        name = request_name()
        return in_one_line(super().format(record)) + (f" [request {name}]" if name else "")


class Json(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "at": self.formatTime(record, _TIME),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if name := request_name():
            said["request"] = name
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said)


def in_one_line(text: str) -> str:
    """Whatever ends a line, moves a cursor or turns the direction of writing stands as its number (A175)."""
    return "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _number(char) for char in text
    )


def _number(char: str) -> str:
    return char.encode("unicode_escape").decode()
