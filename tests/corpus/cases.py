"""Reads a file of the corpus: one case a line, in ASCII-escaped JSON; gives its answers, and bounds its memory."""

import json
import re
import resource
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from tests.standin import Answer

CORPUS = Path(__file__).parent
_NEEDED = {"id", "input", "expected", "why"}
_ALLOWED = _NEEDED | {"details"}
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Case:
    """What is given, the class that must come of it, and the reason; `details` say more about the outcome."""

    id: str
    input: Any
    expected: str
    why: str
    details: Mapping[str, Any] = field(default_factory=dict)


def load(name: str) -> list[Case]:
    """The cases of `<name>.jsonl` in their order. Raises ValueError where the file breaks the corpus's form."""
    lines = (CORPUS / f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    cases = [_case(f"{name}.jsonl:{number}", line) for number, line in enumerate(lines, 1)]
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise ValueError(f"{name}.jsonl: the id {case.id} stands twice")
        seen.add(case.id)
    return cases


def case_id(case: Case) -> str:
    """For `pytest.mark.parametrize(..., ids=case_id)`."""
    return case.id


def answer_of(given: Mapping[str, Any]) -> Answer:
    """A provider's answer as a case describes it, byte for byte.

    `status` and `headers` have defaults (a header may have several values); the body is `json`, `body`, `body_hex`, or
    a `repeat` of a text so many times, with what stands before, after and at the back, the last as many times. `interim`
    is sent before it all. {sent} in a body becomes the code or refresh token that the request brought.
    """
    headers: Mapping[str, str | list[str]] = given.get("headers", {"Content-Type": "application/json"})
    lines = [f"HTTP/1.1 {given.get('status', 200)} Answer"]
    for name, values in headers.items():
        lines += [f"{name}: {value}" for value in ([values] if isinstance(values, str) else values)]

    def answer(request: Request) -> Response:
        sent = request.form.get("code") or request.form.get("refresh_token") or ""
        body = body_of(given).replace(b"{sent}", sent.encode())
        head = [*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]
        connection: socket.socket = request.environ["werkzeug.socket"]
        connection.sendall((given.get("interim", "") + "\r\n".join(head)).encode("latin-1") + body)
        connection.shutdown(socket.SHUT_WR)  # the server's library would go on with an answer of its own
        return Response()

    return answer


@contextmanager
def bounded_memory(megabytes: int = 20) -> Iterator[None]:
    """Fails where the process's peak grows by more than that meanwhile."""
    before = _peak(afresh=True)
    yield
    grown = (_peak() - before) / 1024
    assert grown <= megabytes, f"{grown:.0f} MB more memory"


def _case(where: str, line: str) -> Case:
    members = json.loads(line)
    if not isinstance(members, dict) or not _NEEDED <= members.keys() <= _ALLOWED:
        raise ValueError(f"{where}: the keys are {sorted(_NEEDED)} and, where there is more to say, details")
    case = Case(**members)
    if not _ID.fullmatch(case.id) or not case.expected or not case.why:
        raise ValueError(f"{where}: a case has an id in kebab case, a class and a reason")
    return case


def body_of(given: Mapping[str, Any]) -> bytes:
    """The bytes of the body that a case describes; see answer_of."""
    if "json" in given:
        return json.dumps(given["json"]).encode()
    if "body_hex" in given:
        return bytes.fromhex(given["body_hex"])
    if "repeat" in given:
        part, times = given["repeat"], given["repeat"]["times"]
        text = part.get("before", "") + part["text"] * times + part.get("after", "") + part.get("back", "") * times
        return str(text).encode()
    return str(given["body"]).encode()


def _peak(*, afresh: bool = False) -> int:
    """The most memory so far in KiB; Linux can begin afresh (proc(5), clear_refs), others know one peak for all."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if afresh:
        Path("/proc/self/clear_refs").write_text("5")
    return int(status.read_text().partition("VmHWM:")[2].split()[0])
