"""Every outgoing call goes through here: which addresses may be called, and how.

Plain http and loopback are for an Applinks that itself lives on loopback; private networks only where the operator
names them; link-local and metadata addresses never. No redirect is followed, no proxy or netrc of the environment
counts, and a provider that says nothing is given up.
"""

import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, unquote_plus, urlsplit

import idna
import requests
from requests.adapters import HTTPAdapter

from applinks.settings import Network, Settings

CONNECT_SECONDS = 5
READ_SECONDS = 10
URL_LENGTH = 2048

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Iterable[str]]

# Services that browsers refuse to call, too, since they can be made to take an HTTP request for their own language:
# https://fetch.spec.whatwg.org/#port-blocking (those that an administrator might meet).
_FOREIGN_PORTS = {21, 22, 23, 25, 53, 110, 111, 119, 135, 139, 143, 389, 445, 465, 514, 587, 636, 993, 995, 2049}
_FOREIGN_PORTS |= {5060, 5061, 6000, 6379, 6667, 11211}
_NEVER = [
    *map(ip_network, ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")),
    *map(ip_network, ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128")),
    *map(ip_network, ("::/128", "fe80::/10", "fec0::/10", "ff00::/8")),
]
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]|[\\<>\"{}|^`]")
# What the client itself sends to the authorization endpoint; a second value in its query could win (RFC 6749 §3.1).
_OWN_PARAMETERS = {"response_type", "response_mode", "client_id", "client_secret", "redirect_uri", "scope", "state"}
_OWN_PARAMETERS |= {"code", "code_challenge", "code_challenge_method", "code_verifier", "nonce", "request"}
_OWN_PARAMETERS |= {"request_uri", "resource", "grant_type", "refresh_token"}


class AddressRefusedError(requests.RequestException):
    """The guard won't call this address. `str()` is a sentence for the administrator."""


@dataclass(frozen=True)
class Guard:
    """Decides which addresses may be called; `protect()` makes a session obey."""

    loopback: bool
    allowed_networks: tuple[Network, ...] = ()
    resolve: Resolve = lambda host: [str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]

    @classmethod
    def of(cls, settings: Settings) -> "Guard":
        return cls(settings.loopback, settings.allowed_networks)

    def endpoint(self, text: str) -> str:
        """The endpoint URL as it will be called, with an ASCII host; nothing is resolved here.

        Raises AddressRefusedError with a sentence for the field.
        """
        if len(text) > URL_LENGTH:
            raise AddressRefusedError(f"This address is longer than {URL_LENGTH} characters.")
        url = _ascii(text)
        parts = _split(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and self.loopback):
            raise AddressRefusedError(
                "The address must start with https://. Plain http is accepted only while Applinks itself runs on loopback."
                if parts.scheme == "http"
                else "The address must start with https://."
            )
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            raise AddressRefusedError("Plain http is accepted only for loopback addresses. Use https:// here.")
        if "@" in parts.netloc:
            raise AddressRefusedError("Leave out the user name and password before the host.")
        if "#" in url:
            raise AddressRefusedError("Leave out the part from # on: an endpoint has no fragment (RFC 6749 §3.1).")
        names = {unquote_plus(pair.partition("=")[0]).strip().lower() for pair in re.split("[&;]", parts.query)}
        own = sorted(_OWN_PARAMETERS & names)
        if own:
            raise AddressRefusedError(f"Leave {own[0]} out of the address: Applinks sends it itself.")
        if parts.port in _FOREIGN_PORTS or parts.port == 0:
            raise AddressRefusedError(f"Port {parts.port} belongs to another kind of service.")
        if literal := _literal(parts.hostname or ""):
            self._check(parts.hostname or "", literal)
        return url

    def check(self, url: str) -> None:
        """Check a URL just before it is called: its form, and every address that its host resolves to.

        Raises AddressRefusedError, or requests.ConnectionError when the name can't be resolved.
        """
        host = _split(self.endpoint(url)).hostname or ""
        try:
            found = [ip_address(text.partition("%")[0]) for text in self.resolve(host)]
        except OSError as error:
            raise requests.ConnectionError(f"{host} can't be resolved to an address.") from error
        for address in found:
            self._check(host, address)

    def _check(self, host: str, address: Address) -> None:
        says = f"{host} is" if host.strip("[]") == str(address) else f"{host} resolves to {address},"
        plain = getattr(address, "ipv4_mapped", None) or address
        if any(plain in network for network in _NEVER):
            raise AddressRefusedError(
                f"{says} an address that Applinks never calls (link-local, metadata or multicast)."
            )
        if plain.is_loopback:
            if not self.loopback:
                raise AddressRefusedError(f"{says} a loopback address, and Applinks' own base URL isn't one.")
        elif not plain.is_global and not any(plain in network for network in self.allowed_networks):
            network = ip_network(f"{plain}/{16 if plain.version == 4 else 48}", strict=False)
            raise AddressRefusedError(
                f"{says} a private address. To allow it, start Applinks with APPLINKS_ALLOWED_NETWORKS={network}."
            )

    def protect(self, session: requests.Session) -> None:
        """Make `session` call through this guard alone."""
        session.trust_env = False
        session.headers["User-Agent"] = "Applinks"
        session.headers["Accept-Encoding"] = "identity"
        session.adapters.clear()
        adapter = _GuardedAdapter(self)
        session.mount("https://", adapter)
        session.mount("http://", adapter)


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Check and call. A redirect is handed on without its address, so that nobody can follow it."""
        self._guard.check(request.url or "")
        response = super().send(request, stream=stream, timeout=(CONNECT_SECONDS, READ_SECONDS), verify=True)
        if 300 <= response.status_code < 400:
            response.headers.pop("Location", None)
        return response


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise AddressRefusedError(
            "This isn't a complete address. Write it like https://auth.example.com/authorize."
        ) from None
    if not parts.scheme or not host or not (_literal(host) or (_HOST.fullmatch(host) and len(host) <= 253)):
        raise AddressRefusedError("This isn't a complete address. Write it like https://auth.example.com/authorize.")
    if (re.fullmatch(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)", host) or "[" in parts.netloc) and not _literal(host):
        raise AddressRefusedError("Write an IP address as four plain decimal numbers, or as [IPv6].")
    return parts


def _ascii(text: str) -> str:
    """The URL with its host in ASCII (IDNA 2008, UTS 46), refused when anything else isn't printable ASCII."""
    before, marker, rest = text.partition("://")
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0] if marker else ""
    if marker and not authority.isascii():
        host, colon, port = authority.partition(":")
        try:
            encoded = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            raise AddressRefusedError("The host isn't a name that exists in the internet's name system.") from None
        if _literal(encoded):
            raise AddressRefusedError("Write an IP address as four plain decimal numbers.")
        text = f"{before}://{encoded}{colon}{port}{rest[len(authority) :]}"
    if _UNPRINTABLE.search(text):
        raise AddressRefusedError("The address holds a space or a character that must be percent-encoded.")
    return text


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    literal = _literal(host)
    return host == "localhost" or (literal is not None and literal.is_loopback)
