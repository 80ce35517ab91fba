"""One outgoing call at the level of sockets: to addresses given, within a deadline, and with so many bytes at most.

A timeout a read isn't enough: a byte every now and then would hold a call for ever. So every read looks at the time
that is left for the whole call and at what has come so far.
"""

import base64
import re
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.ssltransport import SSLTransport

from applinks.oauth.addresses import Address

CONNECT_SECONDS = 5.0
ADDRESSES_TRIED = 4
BODY_BYTES = 256 * 1024
HEAD_BYTES = 64 * 1024

_CHUNK = 16 * 1024
_READ_AHEAD = 32 * 1024  # certificates come before the head, and with its end some of the body
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
    hold the reason where its answer or its certificate wasn't accepted, `unknown_issuer` when it is that of the latter.
    `certificate_ends` is when the certificate that was accepted does, in seconds since 1970."""

    def __init__(
        self, addresses: list[Address], deadline: Deadline, trust: ssl.SSLContext, proxy: Proxy | None = None
    ) -> None:
        super().__init__()
        self.deadline = deadline
        self.sent = False
        self.refused_answer = ""
        self.distrusted = ""
        self.unknown_issuer = False
        self.certificate_ends: int | None = None
        self._addresses = addresses[:ADDRESSES_TRIED]
        self.trust = trust
        self._proxy = proxy
        self._received = 0
        self._most = HEAD_BYTES + _READ_AHEAD
        self._ended = False

    def answer(self, request: requests.PreparedRequest) -> requests.Response:
        """The whole answer, read within the bounds. Raises OSError, which requests' own errors are as well."""
        try:
            return self._read(self.send(request, stream=True, timeout=self.deadline.wait()))
        except OSError:
            raise
        except (HTTPError, ValueError) as error:  # what the libraries let through of a message that is no HTTP
            raise OSError("this isn't HTTP") from error

    def _read(self, response: requests.Response) -> requests.Response:
        try:
            if self._ended:
                raise OSError("the header section was cut short")  # RFC 9112 §8; http.client takes it for whole
            _check_length(response.raw.headers)
            self._most += BODY_BYTES
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in ("", "identity"):
                raise self._refused("The answer is compressed, which wasn't asked for.")
            body = bytearray()
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > BODY_BYTES:
                    raise self._refused("The answer is larger than any that Applinks reads.")
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
        secure = HTTPSConnectionPool(host, parts.port or 443, ssl_context=self.trust, call=self)
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
            return sock
        # Without its number: urllib3 takes a reset or a broken pipe for one that came while sending, and reads on.
        raise OSError("no address takes a connection") from failed

    def receive(self, count: int) -> None:
        """Count what has come. Raises OSError when it is too much."""
        self._received += count
        self._ended = self._ended or count == 0
        if self._received > self._most:
            raise self._refused("The answer is larger than any that Applinks reads.")

    def distrust(self, error: ssl.SSLError) -> None:
        """Remember why there is no trustworthy connection."""
        self.distrusted = getattr(error, "verify_message", "").rstrip(".") or "it doesn't speak TLS as it should"
        self.unknown_issuer = getattr(error, "verify_code", 0) in _UNKNOWN_ISSUER

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
        return _BoundedSocket(self._call.connect(self.port or 80), self._call)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self._call.sent = True
        super().send(data)


class _TlsConnection(_PlainConnection, HTTPSConnection):
    def connect(self) -> None:
        """TLS over the bounded socket, not under it: OpenSSL reads on by itself for as long as records come that hold
        nothing, such as session tickets, and they must count, too."""
        sock = self._new_conn()
        try:
            self.sock = _Tls(sock, self._call, self.host)
            certificate = self.sock.sslobj.getpeercert() or {}
            self._call.certificate_ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        except BaseException as error:
            sock.close()
            if isinstance(error, ssl.SSLError):
                self._call.distrust(error)
            raise
        self.is_verified = True


class _Tls(SSLTransport):
    def __init__(self, sock: socket.socket, call: Call, host: str) -> None:
        self._call = call
        # An end without notice is an attack on whatever has no length (RFC 8446 §6.1).
        super().__init__(sock, call.trust, host, suppress_ragged_eofs=False)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> Any:
        count = super().recv_into(buffer, nbytes, flags)
        if not count:
            self._call.receive(0)  # a notice ends an answer as the end of the connection does
        return count


class _BoundedSocket(socket.socket):
    """A connected socket whose sending and reading obey a call."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        super().__init__(fileno=sock.detach())
        self._call = call

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(self._call.deadline.wait())
        super().sendall(data, flags)

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.settimeout(self._call.deadline.wait())
        data = super().recv(size, flags)
        self._call.receive(len(data))
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        self.settimeout(self._call.deadline.wait())
        count = super().recv_into(buffer, size, flags)
        self._call.receive(count)
        return count
