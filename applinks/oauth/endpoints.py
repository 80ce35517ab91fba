"""What an administrator, or a provider's metadata, may give as an endpoint: the grammar of its URL.

Nothing is resolved here; where a name leads is judged at every call.
"""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote_plus, urlsplit

import idna

from applinks.oauth.addresses import Address

URL_LENGTH = 2048

# What Applinks itself sends, or must never be made to send: a second value in a query or an extra parameter could win
# (RFC 6749 §3.1). `resource` and `audience` aren't among them: some providers want them.
OWN_PARAMETERS = {"response_type", "response_mode", "client_id", "client_secret", "redirect_uri", "scope", "state"}
OWN_PARAMETERS |= {"code", "code_challenge", "code_challenge_method", "code_verifier", "nonce", "request"}
OWN_PARAMETERS |= {"request_uri", "grant_type", "refresh_token", "client_assertion", "client_assertion_type"}

# Services that can be made to take an HTTP request for their own language: those that browsers refuse to call
# (https://fetch.spec.whatwg.org/#port-blocking), where nobody could give consent either, and three more.
_FOREIGN_PORTS = {
    int(port)
    for port in re.findall(
        "[0-9]+",
        "0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 "
        "135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 "
        "995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080 "
        "445 6379 11211",
    )
}
# Names at which clouds hand out credentials, refused before anybody looks where they lead.
_METADATA_NAMES = {"metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
_METADATA_NAMES |= {"instance-data.ec2.internal"}
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMBER_AT_END = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")  # https://url.spec.whatwg.org/#ends-in-a-number-checker
_IPV6 = re.compile(r"\[[0-9a-fA-F:.]+\](:[0-9]*)?")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]|[\\<>\"{}|^`]")


_NO_NAME = "The host isn't a name that exists in the internet's name system."


class MalformedEndpointError(ValueError):
    """No endpoint. `str()` is a sentence for the administrator."""


def read_endpoint(text: str, *, loopback: bool) -> str:
    """The endpoint URL as it will be called, with an ASCII host; plain http for loopback hosts when `loopback`.

    Raises MalformedEndpointError.
    """
    if len(text) > URL_LENGTH:
        raise MalformedEndpointError(f"This address is longer than {URL_LENGTH} characters.")
    url = _ascii(text)
    parts = _split(url)
    if parts.scheme == "http" and loopback:
        if not _is_loopback(parts.hostname or ""):
            raise MalformedEndpointError("Plain http is accepted only for loopback addresses. Use https:// here.")
    elif parts.scheme == "http":
        raise MalformedEndpointError(
            "The address must start with https://. Plain http is accepted only while Applinks itself runs on loopback."
        )
    elif parts.scheme != "https":
        raise MalformedEndpointError("The address must start with https://.")
    if "@" in parts.netloc:
        raise MalformedEndpointError("Leave out the user name and password before the host.")
    if "#" in url:
        raise MalformedEndpointError("Leave out the part from # on: an endpoint has no fragment (RFC 6749 §3.1).")
    names = {unquote_plus(pair.partition("=")[0]).strip().lower() for pair in re.split("[&;]", parts.query)}
    if own := sorted(OWN_PARAMETERS & names):
        raise MalformedEndpointError(f"Leave {own[0]} out of the address: Applinks sends it itself.")
    if parts.port in _FOREIGN_PORTS:
        raise MalformedEndpointError(
            f"Port {parts.port} belongs to another kind of service. Leave it out, unless the documentation names one."
        )
    if parts.hostname in _METADATA_NAMES:
        raise MalformedEndpointError(f"{parts.hostname} is where clouds hand out credentials: Applinks never calls it.")
    return url


def literal(host: str) -> Address | None:
    """The IP address that a host is written as, None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _split(url: str) -> SplitResult:
    incomplete = "This isn't a complete address. Write it like https://auth.example.com/authorize."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise MalformedEndpointError(incomplete) from None
    if not parts.scheme or not host or not (literal(host) or (_HOST.fullmatch(host) and len(host) <= 253)):
        raise MalformedEndpointError(incomplete)
    bracketed = "[" in parts.netloc or "]" in parts.netloc
    try:
        for label in host.split("."):
            if label.startswith("xn--"):
                idna.ulabel(label)
    except idna.IDNAError:
        raise MalformedEndpointError(_NO_NAME) from None
    if (_NUMBER_AT_END.fullmatch(host) and not literal(host)) or (bracketed and not _IPV6.fullmatch(parts.netloc)):
        raise MalformedEndpointError("Write an IP address as four plain decimal numbers, or as [IPv6].")
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
            raise MalformedEndpointError(_NO_NAME) from None
        if literal(encoded):
            raise MalformedEndpointError("Write an IP address as four plain decimal numbers.")
        text = f"{before}://{encoded}{colon}{port}{rest[len(authority) :]}"
    if _UNPRINTABLE.search(text):
        raise MalformedEndpointError("The address holds a space or a character that must be percent-encoded.")
    return text


def _is_loopback(host: str) -> bool:
    address = literal(host)
    return host == "localhost" or (address is not None and address.is_loopback)
