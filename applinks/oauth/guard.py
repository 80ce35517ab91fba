"""One way out: every outgoing call goes through here, to an address that was checked, within bounds.

A name is resolved once a call, every address that it has is judged, and the connection is made to one of those: the
certificate and SNI keep the name, and no second look at the name service can lead elsewhere. No redirect is followed;
proxies and netrc of the environment don't count. A call ends within its seconds whatever the other side does.
"""

import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import BaseAdapter

from applinks.errors import StartRefusedError
from applinks.oauth.addresses import Address, Kind, kind_of, plain
from applinks.oauth.call import Call, Deadline, Proxy
from applinks.oauth.endpoints import MalformedEndpointError, literal, read_endpoint
from applinks.settings import Network, Settings

CALL_SECONDS = 15.0
RESOLVE_SECONDS = 3.0
CALLS_OF_ONE_HOST = 4
CALLS_OF_ALL = 16

Resolve = Callable[[str], Iterable[str]]


@dataclass(frozen=True)
class Heard:
    """An answer with what is known of who gave it.

    `certificate_ends` is in seconds since 1970, None without TLS; `location` is where a redirect leads, which is for
    reading alone.
    """

    response: requests.Response
    certificate_ends: int | None
    location: str


class AddressRefusedError(requests.RequestException):
    """The guard won't call this address. `str()` is a sentence for the administrator."""


class CallFailedError(requests.RequestException):
    """There is no answer. `ambiguous` is true when the request may have arrived all the same, `distrusted` when it is the
    certificate that wasn't accepted."""

    def __init__(self, words: str, *, ambiguous: bool = False, distrusted: bool = False) -> None:
        super().__init__(words)
        self.ambiguous = ambiguous
        self.distrusted = distrusted


class AnswerRefusedError(requests.RequestException):
    """There is an answer that is too large, or packed in a way that wasn't asked for."""


def name_service(host: str) -> list[str]:
    """Every address of a host, as the system's name service tells them. Raises OSError or UnicodeError."""
    return [str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Guard:
    """Decides which addresses may be called; `protect` makes a session obey.

    `seconds` is what a call may take in all: name service, waiting for a place, connecting, TLS, headers and body.
    `ca_file` holds certificate authorities that are trusted beside the usual ones.
    """

    def __init__(
        self,
        *,
        loopback: bool,
        allowed_networks: tuple[Network, ...] = (),
        resolve: Resolve = name_service,
        ca_file: Path | None = None,
        proxy: str = "",
        seconds: float = CALL_SECONDS,
    ) -> None:
        self._loopback = loopback
        self._allowed_networks = allowed_networks
        self._resolve = resolve
        self._trust = _trust(ca_file)
        self._proxy = Proxy.read(proxy) if proxy else None
        self._seconds = seconds
        self._places = _Places()

    @classmethod
    def of(cls, settings: Settings) -> "Guard":
        """Raises StartRefusedError where the CA file can't be used."""
        return cls(
            loopback=settings.loopback,
            allowed_networks=settings.allowed_networks,
            ca_file=settings.ca_file,
            proxy=settings.https_proxy,
        )

    def endpoint(self, text: str) -> str:
        """The endpoint URL as it will be called, with an ASCII host; nothing is resolved here.

        Raises AddressRefusedError with a sentence for the field.
        """
        try:
            url = read_endpoint(text, loopback=self._loopback)
        except MalformedEndpointError as malformed:
            raise AddressRefusedError(str(malformed)) from None
        host = urlsplit(url).hostname or ""
        if address := literal(host):
            self._check(host, address)
        return url

    def addresses(self, host: str, seconds: float = RESOLVE_SECONDS, *, own: bool = False) -> list[Address]:
        """Every address of a host, each of which may be called; that of Applinks itself may be a private one.

        Raises AddressRefusedError, or CallFailedError when the name isn't resolved within `seconds`.
        """
        if written := literal(host):
            found: list[Address] = [written]
        else:
            try:
                found = [ip_address(text.partition("%")[0]) for text in self._look_up(host, seconds)]
            except ValueError:
                raise CallFailedError(f"The name service gave no usable address for {host}.") from None
        if not found:
            raise CallFailedError(f"The name service knows no address of {host}.")
        for address in found:
            self._check(host, address, own=own)
        return [plain(address) for address in found]

    def _look_up(self, host: str, seconds: float) -> list[str]:
        """Ask the name service in a thread of its own, since nothing else can end its silence in time."""
        answers: SimpleQueue[list[str] | None] = SimpleQueue()

        def look() -> None:
            try:
                answers.put(list(self._resolve(host)))
            except (OSError, UnicodeError):
                answers.put(None)

        try:
            Thread(target=look, name="name service", daemon=True).start()
        except RuntimeError:
            raise CallFailedError("This machine can't start another thread now.") from None
        try:
            found = answers.get(timeout=max(seconds, 0))
        except Empty:
            raise CallFailedError(f"The name service didn't answer for {host} in time.") from None
        if found is None:
            raise CallFailedError(f"{host} can't be resolved to an address.")
        return found

    def _check(self, host: str, address: Address, *, own: bool = False) -> None:
        says = f"{host} is" if literal(host) else f"{host} resolves to {address},"
        kind = kind_of(address)
        if kind is Kind.NEVER:
            raise AddressRefusedError(
                f"{says} an address that Applinks never calls (reserved, link-local, metadata or multicast)."
            )
        if own:
            return
        if kind is Kind.LOOPBACK and not self._loopback:
            raise AddressRefusedError(f"{says} a loopback address, and Applinks' own base URL isn't one.")
        called = plain(address)
        if kind is Kind.PRIVATE and not any(called in network for network in self._allowed_networks):
            network = ip_network(f"{called}/{16 if called.version == 4 else 48}", strict=False)
            raise AddressRefusedError(
                f"{says} a private address. To allow it, start Applinks with APPLINKS_ALLOWED_NETWORKS={network}."
            )

    @property
    def trust(self) -> ssl.SSLContext:
        """Whom a TLS connection is made to."""
        return self._trust

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """A connection to a host that the operator has set, wherever it is but where nobody may call.

        Raises AddressRefusedError, CallFailedError or OSError.
        """
        deadline = Deadline(seconds)
        addresses = self.addresses(host, min(RESOLVE_SECONDS, deadline.left()), own=True)
        return socket.create_connection((str(addresses[0]), port), max(deadline.left(), 0.1))

    def protect(self, session: requests.Session, seconds: float | None = None) -> None:
        """Make `session` call through this guard alone, each time in fewer `seconds` where given."""
        session.trust_env = False
        session.headers["User-Agent"] = "Applinks"
        session.headers["Accept-Encoding"] = "identity"
        session.headers["Connection"] = "close"
        session.adapters.clear()
        adapter = _GuardedAdapter(self, min(seconds or self._seconds, self._seconds))
        session.mount("https://", adapter)
        session.mount("http://", adapter)

    def call(self, request: requests.PreparedRequest, seconds: float) -> requests.Response:
        """Make one call in so many seconds. Raises AddressRefusedError, CallFailedError or AnswerRefusedError."""
        return self._hear(request, seconds, self.endpoint(request.url or "")).response

    def hear(self, request: requests.PreparedRequest, seconds: float) -> Heard:
        """The same of a URL whose endpoint was read before, with what a check wants to know besides."""
        return self._hear(request, seconds, request.url or "")

    def hear_own(self, request: requests.PreparedRequest, seconds: float) -> Heard:
        """Call Applinks' own base URL, which its operator has set, wherever it leads. Only a check may, and only there."""
        return self._hear(request, seconds, request.url or "", own=True)

    def _hear(self, request: requests.PreparedRequest, seconds: float, url: str, *, own: bool = False) -> Heard:
        deadline = Deadline(seconds)
        parts = urlsplit(url)
        host = parts.hostname or ""
        addresses = self.addresses(host, min(RESOLVE_SECONDS, deadline.left()), own=own)
        if parts.scheme == "http" and not all(address.is_loopback for address in addresses):
            raise AddressRefusedError(f"Plain http is accepted only for loopback addresses, and {host} isn't one.")
        call = Call(addresses, deadline, self._trust, self._resolved_proxy(deadline))
        with self._places.take(host, deadline):
            try:
                response = call.answer(request)
            except OSError as error:
                raise _failure(host, call, error) from None
        location = response.headers.pop("Location", "") if 300 <= response.status_code < 400 else ""
        return Heard(response, call.certificate_ends, location)  # nobody can follow what isn't there

    def _resolved_proxy(self, deadline: Deadline) -> Proxy | None:
        """The operator's proxy at its address: it may be anywhere, but mustn't take longer to find than anybody else."""
        if self._proxy is None or literal(self._proxy.host):
            return self._proxy
        found = self._look_up(self._proxy.host, min(RESOLVE_SECONDS, deadline.left()))
        return replace(self._proxy, host=found[0]) if found else None


class _GuardedAdapter(BaseAdapter):
    def __init__(self, guard: Guard, seconds: float) -> None:
        super().__init__()
        self._guard = guard
        self._seconds = seconds

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Call as the guard does, whatever a caller asks for."""
        return self._guard.call(request, self._seconds)

    def close(self) -> None:
        """A connection lives as long as its call."""


class _Places:
    """How many calls may be under way: a few to each host, so that one that hangs delays no other."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._calls: Counter[str] = Counter()

    @contextmanager
    def take(self, host: str, deadline: Deadline) -> Iterator[None]:
        """Raises CallFailedError where none becomes free in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free(host), max(deadline.left(), 0)):
                raise CallFailedError(f"Too many calls are under way already, so {host} wasn't asked.")
            self._calls[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= Counter({host: 1})  # forgets the hosts that have none left
                self._changed.notify_all()

    def _free(self, host: str) -> bool:
        return self._calls[host] < CALLS_OF_ONE_HOST and self._calls.total() < CALLS_OF_ALL


def _failure(host: str, call: Call, error: Exception) -> requests.RequestException:
    """What became of a call, in words. Only the part of it that the other side may know is ambiguous."""
    if call.refused_answer:
        return AnswerRefusedError(call.refused_answer)
    if call.deadline.left() <= 0 or isinstance(error, requests.Timeout):
        return CallFailedError(f"{host} didn't answer in time.", ambiguous=call.sent)
    if call.distrusted:
        own = (
            " If that is an authority of your own, start Applinks with APPLINKS_CA_FILE." if call.unknown_issuer else ""
        )
        words = f"No trustworthy TLS connection to {host} could be made: {call.distrusted}.{own}"
        return CallFailedError(words, distrusted=True)
    if call.sent:
        return CallFailedError(f"The connection to {host} was lost before its answer was complete.", ambiguous=True)
    return CallFailedError(f"{host} can't be reached.")


@cache  # loading the authorities takes longer than most calls; nothing here changes a context once it is made
def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, always verified. Raises StartRefusedError."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525 §2
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise StartRefusedError(
                f"APPLINKS_CA_FILE is {ca_file}, which holds no certificates in PEM form that can be read: {error}."
            ) from None
    return context
