"""One outgoing call at the level of sockets: to addresses given, within a deadline, and with so many bytes at most.

A timeout a read isn't enough: a byte every now and then would hold a call for ever. So every read looks at the time
that is left for the whole call and at what has come so far.
"""

import base64
import io
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from applinks.oauth.addresses import Address

CONNECT_SECONDS = 5.0
ADDRESSES_TRIED = 4
BODY_BYTES = 256 * 1024
HEAD_BYTES = 64 * 1024

_CHUNK = 16 * 1024
# OpenSSL's reasons for an issuer that isn't known here: 18 to 21 of X509_V_ERR_…
_UNKNOWN_ISSUER = range(18, 22)
_NO_TIME = 0.001  # a timeout of nothing would mean not to wait at all


class Deadline:
    """A moment `seconds` from now, on a clock that nobody sets."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds until then, negative when it has passed."""
        return self._at - time.monotonic()

    def wait(self) -> float:
        """A socket's timeout until then. Raises TimeoutError when it has passed."""
        left = self.left()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return max(left, _NO_TIME)


@dataclass(frozen=True)
class Proxy:
    """The operator's proxy, which is asked to connect to an address that was checked here (RFC 9110 §9.3.6)."""

    host: str
    port: int
    authorization: str = field(repr=False)

    @classmethod
    def read(cls, url: str) -> "Proxy":
        """From `http://[user:password@]host[:port]`, a URL that was checked already."""
        parts = urlsplit(url)
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        basic = f"Basic {base64.b64encode(user.encode()).decode()}" if parts.username else ""
        return cls(parts.hostname or "", parts.port or 80, basic)

    def connect(self, address: Address, port: int, seconds: float, deadline: Deadline) -> socket.socket:
        """A connection to `address` through the proxy, which is reached within `seconds`. Raises OSError."""
        sock = socket.create_connection((self.host, self.port), seconds)
        target = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        head = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        head += [f"Proxy-Authorization: {self.authorization}"] if self.authorization else []
        try:
            sock.sendall("\r\n".join([*head, "", ""]).encode())
            answer = b""
            # Byte by byte: what follows the empty line is the beginning of TLS.
            while not answer.endswith(b"\r\n\r\n"):
                sock.settimeout(deadline.wait())
                byte = sock.recv(1)
                answer += byte
                if not byte or len(answer) > HEAD_BYTES:
                    raise OSError("the proxy gave no answer")
            if answer.split(b" ", 2)[1:2] != [b"200"]:
                raise OSError("the proxy refused the connection")
        except BaseException:
            sock.close()
            raise
        return sock


class Call(HTTPAdapter):
    """One call. What became of it: `sent` once the other side may have got something; `refused_answer` and `distrusted`
    hold the reason where its answer or its certificate wasn't accepted, `unknown_issuer` when it is that of the latter."""

    def __init__(
        self, addresses: list[Address], deadline: Deadline, trust: ssl.SSLContext, proxy: Proxy | None = None
    ) -> None:
        super().__init__()
        self.deadline = deadline
        self.sent = False
        self.refused_answer = ""
        self.distrusted = ""
        self.unknown_issuer = False
        self._addresses = addresses[:ADDRESSES_TRIED]
        self._trust = trust
        self._proxy = proxy
        self._received = 0
        self._ended = False

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """The whole answer, read within the bounds. Raises OSError, which requests' own errors are as well."""
        try:
            return self._read(super().send(request, stream=True, timeout=self.deadline.wait()))
        except OSError:
            raise
        except (HTTPError, ValueError) as error:  # what the libraries let through of a message that is no HTTP
            raise OSError("this isn't HTTP") from error

    def _read(self, response: requests.Response) -> requests.Response:
        try:
            if self._ended:
                raise OSError("the header section was cut short")  # RFC 9112 §8; http.client takes it for whole
            _check_length(response.raw.headers)
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in ("", "identity"):
                raise self._refused("The answer is compressed, which wasn't asked for.")
            body = bytearray()
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > BODY_BYTES:
                    raise self._refused(f"The answer is larger than {BODY_BYTES // 1024} KiB.")
            response._content = bytes(body)
            return response
        finally:
            response.close()

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        parts = urlsplit(request.url or "")
        host = parts.hostname or ""
        if parts.scheme == "http":
            pool = HTTPConnectionPool(host, parts.port or 80, call=self)
            pool.ConnectionCls = _PlainConnection
            return pool
        secure = HTTPSConnectionPool(host, parts.port or 443, ssl_context=self._trust, call=self)
        secure.ConnectionCls = _TlsConnection
        return secure

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to decide: the context that the connection got verifies."""

    def connect(self, port: int) -> socket.socket:
        """A connection to the first address that takes one, each given its share of the time. Raises OSError."""
        failed: OSError = OSError("there is no address")
        for tried, address in enumerate(self._addresses):
            seconds = min(CONNECT_SECONDS, self.deadline.wait() / (len(self._addresses) - tried))
            try:
                if self._proxy and not address.is_loopback:  # the proxy's own loopback is another machine's
                    sock = self._proxy.connect(address, port, seconds, self.deadline)
                else:
                    sock = socket.create_connection((str(address), port), seconds)
            except OSError as error:
                failed = error
                continue
            sock.settimeout(min(CONNECT_SECONDS, self.deadline.wait()))  # for all of the TLS handshake
            return sock
        # Without its number: urllib3 takes a reset or a broken pipe for one that came while sending, and reads on.
        raise OSError("no address takes a connection") from failed

    def receive(self, count: int) -> None:
        """Count what has come. Raises OSError when it is too much."""
        self._received += count
        self._ended = self._ended or count == 0
        if self._received > HEAD_BYTES + BODY_BYTES:
            raise self._refused(f"The answer is larger than {BODY_BYTES // 1024} KiB.")

    def _refused(self, words: str) -> OSError:
        self.refused_answer = words
        return OSError(words)


def _check_length(headers: Any) -> None:
    """Raises OSError where the length of an answer is no number, or not the same throughout (RFC 9112 §6.3)."""
    lengths = {text.strip() for line in headers.getlist("Content-Length") for text in line.split(",")}
    if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", text) for text in lengths):
        raise OSError("the answer's length can't be known")


class _PlainConnection(HTTPConnection):
    def __init__(self, *args: Any, call: Call, **options: Any) -> None:
        super().__init__(*args, **options)
        self._call = call

    def _new_conn(self) -> socket.socket:
        return self._call.connect(self.port or 80)

    def connect(self) -> None:
        super().connect()
        self.sock = _bounded(self.sock, self._call)


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, call: Call, **options: Any) -> None:
        super().__init__(*args, **options)
        self._call = call

    def _new_conn(self) -> socket.socket:
        return self._call.connect(self.port or 443)

    def connect(self) -> None:
        try:
            super().connect()
        except ssl.SSLError as error:
            self._call.distrusted = getattr(error, "verify_message", "") or "it doesn't speak TLS as it should"
            self._call.unknown_issuer = getattr(error, "verify_code", 0) in _UNKNOWN_ISSUER
            raise
        self.sock = _bounded(self.sock, self._call)


class _BoundedSocket:
    """A connected socket whose sending and reading obey a call."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        self._sock = sock
        self._call = call

    def sendall(self, data: bytes) -> None:
        self._call.sent = True
        self._sock.settimeout(self._call.deadline.wait())
        self._sock.sendall(data)

    def makefile(self, mode: str, *args: Any, **options: Any) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock, self._call))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _BoundedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, call: Call) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open for as long as it is read
        self._call = call

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._call.deadline.wait())
        count = self._raw.readinto(buffer) or 0
        self._call.receive(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _bounded(sock: Any, call: Call) -> Any:
    """What urllib3 takes for a socket."""
    return _BoundedSocket(sock, call)
