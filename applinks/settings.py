"""Settings: read once from the environment, typed, and loud when wrong."""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from applinks.errors import StartRefusedError

Network = IPv4Network | IPv6Network

_NAMES = {
    "APPLINKS_BASE_URL",
    "APPLINKS_HOST",
    "APPLINKS_PORT",
    "APPLINKS_DATA_DIR",
    "APPLINKS_DATABASE_URL",
    "APPLINKS_DATABASE_URL_FILE",
    "APPLINKS_KEYS_FILE",
    "APPLINKS_ALLOWED_NETWORKS",
    "APPLINKS_TRUSTED_PROXIES",
    "APPLINKS_HTTPS_PROXY",
    "APPLINKS_HTTPS_PROXY_FILE",
    "APPLINKS_CA_FILE",
    "APPLINKS_REFRESHER",
    "APPLINKS_LOG",
    "APPLINKS_SMTP_URL",
    "APPLINKS_SMTP_URL_FILE",
    "APPLINKS_ALERT_MAIL",
    "APPLINKS_ALERT_WEBHOOK",
    "APPLINKS_ALERT_WEBHOOK_SECRET",
    "APPLINKS_ALERT_WEBHOOK_SECRET_FILE",
    "APPLINKS_URL",
    "APPLINKS_API_KEY",
    "APPLINKS_API_KEY_FILE",
}
_DANGEROUS = (
    "OAUTHLIB_INSECURE_TRANSPORT",
    "OAUTHLIB_RELAX_TOKEN_SCOPE",
    "OAUTHLIB_IGNORE_SCOPE_CHANGE",
    "FLASK_DEBUG",
    "SSLKEYLOGFILE",
)
_PROXY = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_WORD = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
# Narrower than what PostgreSQL's library takes (its manual, 34.1.1.2), so that both find the password in the same place.
_DATABASE_URL = re.compile(
    rf"postgresql://(?:{_WORD}(?::{_WORD})?@)?(?P<server>(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{{1,5}})?)"
    rf"/(?P<name>{_WORD})(?:\?(?!.*password=)[A-Za-z0-9._~%&=/+,-]*)?"
)
_CLIENT_SECRET = re.compile(r"(?!APPLINKS_)[A-Z][A-Z0-9_]{0,80}_CLIENT_SECRET")
_SMTP_URL = re.compile(
    rf"smtp(?P<tls>s)?://(?:(?P<user>{_WORD})(?::(?P<password>{_WORD}))?@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9][A-Za-z0-9.-]*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


@dataclass(frozen=True)
class Smtp:
    """A mail server: `tls` from the first byte on, else by STARTTLS, but on this machine. `user` is empty for none."""

    host: str
    port: int
    tls: bool
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """What the operator decided. `base_url` has no slash at its end.

    `database_url` is empty for the SQLite file in the data folder, `https_proxy` for none. `refresher` says whether the
    server refreshes by itself.
    """

    base_url: str
    host: str
    port: int
    data_dir: Path
    keys_file: Path
    database_url: str = field(default="", repr=False)
    allowed_networks: tuple[Network, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    https_proxy: str = field(default="", repr=False)
    ca_file: Path | None = None
    refresher: bool = True
    smtp: Smtp | None = None
    alert_mail: tuple[str, ...] = ()
    alert_webhook: str = ""
    alert_webhook_secret: bytes = field(default=b"", repr=False)
    demo: bool = False

    @property
    def https(self) -> bool:
        return self.base_url.startswith("https:")

    @property
    def authority(self) -> str:
        """Host and port of the base URL, as a browser sends them in `Host`."""
        return urlsplit(self.base_url).netloc

    @property
    def loopback(self) -> bool:
        """Whether the base URL is an address of this machine alone."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def database_file(self) -> Path:
        return self.data_dir / "applinks.sqlite3"

    @property
    def database_place(self) -> str:
        """Which database, for people: never its password."""
        if not self.database_url:
            return str(self.database_file)
        found = _DATABASE_URL.fullmatch(self.database_url)
        return f"{found['name']} on {found['server'] or 'the server that its URL names'}" if found else ""

    @property
    def cookie_name(self) -> str:
        """Cookies ignore ports, so on loopback the port is in the name."""
        return "__Host-applinks" if self.https else f"applinks-{urlsplit(self.base_url).port or 80}"


@dataclass(frozen=True)
class Remote:
    """A running server that the command line asks, with no slash at its end, and the key to show there."""

    url: str
    api_key: str = field(repr=False)
    ca_file: Path | None


def read_remote(environ: Mapping[str, str]) -> Remote | None:
    """Where the command line is sent to, None for this machine's own database.

    Raises StartRefusedError.
    """
    url = environ.get("APPLINKS_URL")
    if not url:
        return None
    key = _secret("APPLINKS_API_KEY", environ)
    if not key:
        raise StartRefusedError("APPLINKS_URL is set, but no APPLINKS_API_KEY to show there.")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise StartRefusedError("APPLINKS_API_KEY holds a character that no key has.")
    return Remote(_base_url(url, "APPLINKS_URL"), key, _ca_file(environ))


def read_settings(environ: Mapping[str, str], *, demo: bool = False) -> Settings:
    """Settings from an environment; the demo keeps its data in a folder of its own.

    Raises StartRefusedError, naming the variable and what it should be.
    """
    for name in _DANGEROUS:
        if environ.get(name):
            raise StartRefusedError(f"{name} is set: it switches a protection off. Unset it and start again.")
    unknown = sorted(name for name in environ if name.startswith("APPLINKS_") and name not in _NAMES)
    if unknown:
        raise StartRefusedError(f"{unknown[0]} is no setting of Applinks. Known: {', '.join(sorted(_NAMES))}.")
    _one_of("APPLINKS_LOG", environ, "plain", "json")  # read before anything else, by the log itself
    port = _port(environ.get("APPLINKS_PORT") or "5000")
    data_dir = Path(environ.get("APPLINKS_DATA_DIR") or ("data/demo" if demo else "data")).absolute()
    keys_file = environ.get("APPLINKS_KEYS_FILE")
    return Settings(
        base_url=_base_url(environ.get("APPLINKS_BASE_URL") or f"http://127.0.0.1:{port}"),
        host=environ.get("APPLINKS_HOST") or "127.0.0.1",
        port=port,
        data_dir=data_dir,
        keys_file=Path(keys_file).absolute() if keys_file else data_dir / "keys",
        database_url=_database_url(_secret("APPLINKS_DATABASE_URL", environ), demo=demo),
        allowed_networks=_networks("APPLINKS_ALLOWED_NETWORKS", environ),
        trusted_proxies=_networks("APPLINKS_TRUSTED_PROXIES", environ),
        https_proxy=_proxy(_secret("APPLINKS_HTTPS_PROXY", environ)),
        ca_file=_ca_file(environ),
        refresher=_switch("APPLINKS_REFRESHER", environ),
        smtp=_smtp(environ),
        alert_mail=_mail(environ),
        alert_webhook=_webhook(environ),
        alert_webhook_secret=_webhook_secret(environ),
        demo=demo,
    )


def is_loopback(host: str) -> bool:
    """Whether a host as written, without brackets, is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise StartRefusedError(f"APPLINKS_PORT is {text!r}: it must be a number from 1 to 65535.")
    return int(text)


def _ca_file(environ: Mapping[str, str]) -> Path | None:
    return Path(environ["APPLINKS_CA_FILE"]).absolute() if environ.get("APPLINKS_CA_FILE") else None


def _base_url(text: str, name: str = "APPLINKS_BASE_URL") -> str:
    wrong = f"{name} is {text!r}: it must look like https://applinks.example.com, with nothing after the host."
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise StartRefusedError(wrong) from None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if (
        parts.scheme not in ("http", "https")
        or not _HOST.fullmatch(host)
        or text.rstrip("/") != text[: len(_origin(text))]
    ):
        raise StartRefusedError(wrong)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise StartRefusedError(
            f"{name} is {text!r}: plain http is for this machine alone. Use https, behind a proxy if need be."
        )
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


def _secret(name: str, environ: Mapping[str, str]) -> str:
    """A value that may stand in a file of its own, which NAME_FILE names."""
    file = environ.get(f"{name}_FILE")
    if not file:
        return environ.get(name, "")
    if environ.get(name):
        raise StartRefusedError(f"{name} and {name}_FILE are both set: unset one of them.")
    try:
        text = Path(file).read_text("utf-8").strip()
    except OSError as error:
        raise StartRefusedError(f"{name}_FILE is {file}, which can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise StartRefusedError(f"{name}_FILE is {file}, which is no text.") from None
    if not text:
        raise StartRefusedError(f"{name}_FILE is {file}, which is empty.")
    return text


def secret_named(name: str, environ: Mapping[str, str]) -> str:
    """The client secret that a file of links names, empty where neither NAME nor NAME_FILE is set.

    Whoever writes such a file decides where its secrets are sent: no other secret of this machine can be named there.
    Raises StartRefusedError.
    """
    if not _CLIENT_SECRET.fullmatch(name):
        raise StartRefusedError(
            "Name a variable that ends in _CLIENT_SECRET, such as PAYROLL_CLIENT_SECRET: capital letters, digits and "
            "underscores, and not APPLINKS_ at its beginning, which is for settings."
        )
    return _secret(name, environ).strip()


def _proxy(text: str) -> str:
    """A proxy's URL, in which a password may stand: it is never repeated."""
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        host, _, rest = text.removeprefix("http://").rpartition("@")[2].partition("/")
        sound = parts.scheme == "http" and parts.port != 0 and not rest and _PROXY.fullmatch(host.lower())
    except ValueError:
        sound = None
    if not sound or not text.isascii() or not text.isprintable():
        raise StartRefusedError("APPLINKS_HTTPS_PROXY must look like http://proxy.example.com:3128.")
    return text


def _database_url(text: str, *, demo: bool) -> str:
    """A PostgreSQL database's URL, in which a password may stand: it is never repeated."""
    if text and demo:
        raise StartRefusedError("APPLINKS_DATABASE_URL is set, but the demo keeps an SQLite file of its own. Unset it.")
    if text and not _DATABASE_URL.fullmatch(text):
        raise StartRefusedError(
            "APPLINKS_DATABASE_URL must look like postgresql://user:password@db.example.com/applinks: with that scheme, "
            "one host, and in user and password anything but letters and digits written as %40, say. Without it, Applinks "
            "keeps an SQLite file in its data folder."
        )
    return text


def _smtp(environ: Mapping[str, str]) -> Smtp | None:
    """A mail server's URL, in which a password may stand: it is never repeated."""
    text = _secret("APPLINKS_SMTP_URL", environ)
    if bool(text) != bool(environ.get("APPLINKS_ALERT_MAIL")):
        raise StartRefusedError("APPLINKS_SMTP_URL and APPLINKS_ALERT_MAIL need each other: set both, or neither.")
    if not text:
        return None
    found = _SMTP_URL.fullmatch(text)
    port = int(found["port"] or (465 if found["tls"] else 587)) if found else 0
    if not found or not 0 < port < 65536:
        raise StartRefusedError(
            "APPLINKS_SMTP_URL must look like smtp://user:password@mail.example.com:587 or smtps://…:465, with anything but "
            "letters and digits in user and password written as %40, say."
        )
    user, password = unquote(found["user"] or ""), unquote(found["password"] or "")
    return Smtp(found["host"].strip("[]"), port, bool(found["tls"]), user, password)


def _mail(environ: Mapping[str, str]) -> tuple[str, ...]:
    addresses = tuple(filter(None, re.split(r"[,\s]+", environ.get("APPLINKS_ALERT_MAIL", "").strip())))
    for address in addresses:
        if not _MAIL_ADDRESS.fullmatch(address):
            raise StartRefusedError(f"APPLINKS_ALERT_MAIL holds {address!r}: write addresses like ops@example.com.")
    return addresses


def _webhook(environ: Mapping[str, str]) -> str:
    url, name = environ.get("APPLINKS_ALERT_WEBHOOK", ""), "APPLINKS_ALERT_WEBHOOK"
    try:
        parts = urlsplit(url)
        sound = not url or (
            parts.scheme in ("http", "https") and parts.hostname and url.isascii() and url.isprintable()
        )
    except ValueError:
        sound = False
    if not sound or "@" in url or "#" in url or " " in url:
        raise StartRefusedError(f"{name} must look like https://hooks.example.com/applinks.")
    return url


def _webhook_secret(environ: Mapping[str, str]) -> bytes:
    text = _secret("APPLINKS_ALERT_WEBHOOK_SECRET", environ)
    if bool(text) != bool(environ.get("APPLINKS_ALERT_WEBHOOK")):
        raise StartRefusedError("APPLINKS_ALERT_WEBHOOK and APPLINKS_ALERT_WEBHOOK_SECRET need each other.")
    if not text:
        return b""
    try:
        secret = b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        secret = b""
    if not text.startswith("whsec_") or not 24 <= len(secret) <= 64:
        raise StartRefusedError("APPLINKS_ALERT_WEBHOOK_SECRET must be whsec_ and 24 to 64 random bytes in base64.")
    return secret


def _switch(name: str, environ: Mapping[str, str]) -> bool:
    return _one_of(name, environ, "on", "off") == "on"


def _one_of(name: str, environ: Mapping[str, str], usual: str, other: str) -> str:
    text = environ.get(name) or usual
    if text not in (usual, other):
        raise StartRefusedError(f"{name} is {text!r}: it must be {usual} or {other}.")
    return text


def _origin(text: str) -> str:
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc}"


def _networks(name: str, environ: Mapping[str, str]) -> tuple[Network, ...]:
    networks = []
    for text in re.split(r"[,\s]+", environ.get(name, "").strip()):
        if not text:
            continue
        try:
            networks.append(ip_network(text))
        except ValueError:
            raise StartRefusedError(
                f"{name} holds {text!r}: write networks like 10.1.0.0/16, split by commas."
            ) from None
    return tuple(networks)
