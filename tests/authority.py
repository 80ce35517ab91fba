"""A certificate authority of the tests' own, and the server's side of TLS, good or bad in one way each."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
PEM = serialization.Encoding.PEM
PKCS8, PLAIN = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


class TooGoodError(Exception):
    """The local OpenSSL can't be as bad as that."""


class Authority:
    """Keeps its files in `folder`; `ca_file` is what a client has to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._key = _key()
        self._name = _name("An authority of tests")
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = _builder(self._name, self._key).issuer_name(self._name)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(usage, True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        self.ca_file = folder / "authority.pem"
        self.ca_file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def server(self, kind: str = "good", *names: str) -> ssl.SSLContext:
        """A server for `names`, else for localhost and 127.0.0.1. Raises TooGoodError."""
        names = names or ("localhost", "127.0.0.1")
        match kind:
            case "good":
                return self._server(names)
            case "good by SNI alone":
                return _by_sni(self._server(names), self._server(("elsewhere.example",)))
            case "TLS 1.2 alone" | "TLS 1.3 alone":
                version = ssl.TLSVersion.TLSv1_2 if "1.2" in kind else ssl.TLSVersion.TLSv1_3
                return _between(self._server(names), version, version)
            case "expired":
                return self._server(names, since=NOW - 2 * DAY, until=NOW - DAY)
            case "not yet valid":
                return self._server(names, since=NOW + DAY, until=NOW + 2 * DAY)
            case "wrong host":
                return self._server(("elsewhere.example",))
            case "no alternative name":
                return self._server(names, alternative_names=False)
            case "for clients":
                return self._server(names, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
            case "self-signed":
                return self._server(names, self_signed=True)
            case "weak key":
                return self._server(names, key=rsa.generate_private_key(65537, 1024))
            case "anonymous":
                context = _between(self._server(names), ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
                context.set_ciphers("aNULL:@SECLEVEL=0")
                return context
            case "TLS 1.1":
                return _of_old(self._server(names))
            case "wants a certificate":
                context = self._server(names)
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.ca_file)
                return context
        raise ValueError(kind)

    def _server(
        self,
        names: tuple[str, ...],
        *,
        since: datetime = NOW - DAY,
        until: datetime = NOW + DAY,
        key: PrivateKey | None = None,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        alternative_names: bool = True,
        self_signed: bool = False,
    ) -> ssl.SSLContext:
        key = key or _key()
        name = _name(names[0])
        builder = _builder(name, key, since, until).issuer_name(name if self_signed else self._name)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key((key if self_signed else self._key).public_key())
        builder = builder.add_extension(issuer, False)
        if alternative_names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), False)
        certificate = builder.sign(key if self_signed else self._key, hashes.SHA256())
        file = self._folder / f"server-{next(self._numbers)}.pem"
        file.write_bytes(key.private_bytes(PEM, PKCS8, PLAIN) + certificate.public_bytes(PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if isinstance(key, rsa.RSAPrivateKey):
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else it refuses to load a small key
        context.load_cert_chain(file)
        return context


def _key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    name: x509.Name, key: PrivateKey, since: datetime = NOW - DAY, until: datetime = NOW + DAY
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(name).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)


def _by_sni(good: ssl.SSLContext, default: ssl.SSLContext) -> ssl.SSLContext:
    """Shows the good certificate to those who name the host, as a machine with many sites does."""

    def choose(end: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name:
            end.context = good

    default.sni_callback = choose
    return default


def _between(context: ssl.SSLContext, oldest: ssl.TLSVersion, newest: ssl.TLSVersion) -> ssl.SSLContext:
    context.minimum_version, context.maximum_version = oldest, newest
    return context


def _of_old(context: ssl.SSLContext) -> ssl.SSLContext:
    """TLS 1.1 at most. Raises TooGoodError where the local OpenSSL can't speak it even with a willing client."""
    willing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    willing.check_hostname, willing.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # deprecated is what it is meant to be
        for side in (context, willing):
            side.set_ciphers("ALL:@SECLEVEL=0")
            _between(side, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [willing.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)]
    for end in ends * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError as error:
            raise TooGoodError(f"TLS 1.1: {error.reason}") from None
    return context
