"""Everything that touches cryptography, and nothing of ours.

Secrets at rest are AES-256-GCM with a random 96-bit nonce; the associated data binds a ciphertext to its table, row
and field, so that one moved elsewhere can't be opened. What we gave out ourselves is kept as a SHA-256 digest only.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import argon2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Key = tuple[str, bytes]
"""A key's ID, and the key."""

LOOK_SECONDS = 1.0

_FORMAT = "1"
_NONCE_BYTES = 12
_KEY_BYTES = 32

# Not cryptography's Argon2id: two threads that hash at once wait for each other there, for ever.
_ARGON2ID = argon2.PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
_WITHOUT_MEANS = ("Memory allocation error", "Threading failure")

# The hash of a random password that nobody knows: checking a password against it takes as long as against a real one.
NOBODYS_PASSWORD = "$argon2id$v=19$m=65536,t=3,p=4$tF1QNMCbl3RvpN7L00FHyQ$glL/Mbq8J87HclwVyJiFuAUiuZfzITTdQjN+e1SjPEc"  # noqa: S105 (a hash)


class UnreadableError(Exception):
    """A ciphertext can't be opened with the keys that are here."""


class BadKeysError(Exception):
    """The text of a keys file isn't one; `str()` says why and never quotes a key."""


@dataclass(frozen=True)
class Place:
    """Where a ciphertext lives; part of its associated data."""

    table: str
    row: str
    field: str


class KeyRing:
    """Encryption keys, newest first: the first one writes, every one reads.

    `news` tells of other keys since it was last asked, None where there are none. It is asked at most once in
    `LOOK_SECONDS` before something is sealed, and whenever a ciphertext is under a key that isn't here.
    """

    def __init__(self, keys: Sequence[Key], news: Callable[[], Sequence[Key] | None] = lambda: None) -> None:
        self._news = news
        self._looking = threading.Lock()
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._held = _Held(keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._held.ciphers)})"

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read lines of `<key id>:<32 bytes in base64>`.

        Raises BadKeysError.
        """
        return cls(parse_keys(text))

    @property
    def newest(self) -> str:
        """The ID of the key that writes."""
        return self._held.newest

    def seal(self, plaintext: str, place: Place) -> str:
        """Encrypt under the newest key, bound to `place`."""
        if time.monotonic() >= self._look_at:
            self._look()
        held, nonce = self._held, secrets.token_bytes(_NONCE_BYTES)
        sealed = held.ciphers[held.newest].encrypt(nonce, plaintext.encode(), _associated(place, held.newest))
        return f"{under(held.newest)}{base64.b64encode(nonce + sealed).decode()}"

    def open(self, ciphertext: str, place: Place) -> str:
        """Decrypt what `seal` made for the same place.

        Raises UnreadableError.
        """
        form, _, rest = ciphertext.partition(".")
        key_id, _, encoded = rest.partition(".")
        if key_id not in self._held.ciphers:
            self._look()
        cipher = self._held.ciphers.get(key_id)
        if form != _FORMAT or cipher is None:
            raise UnreadableError("no key for this ciphertext")
        try:
            raw = base64.b64decode(encoded, validate=True)
            opened = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _associated(place, key_id))
        except (InvalidTag, ValueError):
            raise UnreadableError("the ciphertext doesn't belong here or was changed") from None
        return opened.decode()

    def derive(self, purpose: str) -> list[bytes]:
        """256-bit keys for one purpose only (RFC 5869), one from each key, newest first.

        Whoever signs does so with the last one, which every process has until it is dropped, and believes all.
        """
        info = b"applinks/" + purpose.encode()
        return [HKDF(SHA256(), _KEY_BYTES, None, info).derive(key) for key in self._held.keys]

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        with self._looking:  # who comes second finds them taken over
            if keys := self._news():
                self._held = _Held(keys)


class _Held:
    """Keys as they are taken over, all at once."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.ciphers = {key_id: AESGCM(key) for key_id, key in keys}
        self.keys = [key for _, key in keys]
        self.newest = keys[0][0]


def parse_keys(text: str) -> list[Key]:
    """Lines of `<key id>:<32 bytes in base64>`, the first one being the key that writes. Raises BadKeysError."""
    keys: list[Key] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        key_id, _, encoded = line.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise BadKeysError(f"line {number} isn't base64") from None
        if len(key) != _KEY_BYTES or not key_id.isalnum() or key_id in dict(keys):
            raise BadKeysError(f"line {number} isn't a new key ID, a colon and {_KEY_BYTES} bytes in base64")
        keys.append((key_id, key))
    if not keys:
        raise BadKeysError("it holds no key")
    return keys


def write_keys(keys: Sequence[Key]) -> str:
    """The text of a keys file."""
    return "".join(f"{key_id}:{base64.b64encode(key).decode()}\n" for key_id, key in keys)


def new_encryption_key() -> Key:
    """A random key under a random ID."""
    return secrets.token_hex(4), secrets.token_bytes(_KEY_BYTES)


def under(key_id: str) -> str:
    """How a ciphertext begins that was made with this key."""
    return f"{_FORMAT}.{key_id}."


def _associated(place: Place, key_id: str) -> bytes:
    return "\x1f".join(("applinks", _FORMAT, place.table, place.row, place.field, key_id)).encode()


def new_token() -> str:
    """256 random bits as 43 characters of base64url: states, codes, tokens, session IDs."""
    return secrets.token_urlsafe(32)


def new_key() -> bytes:
    """A random 256-bit key."""
    return secrets.token_bytes(_KEY_BYTES)


def new_id() -> str:
    """128 random bits as 32 hexadecimal digits: the ID of a row that a URL may name."""
    return secrets.token_hex(16)


def digest(token: str) -> str:
    """SHA-256 of one of our own random tokens, for storing and finding it."""
    return hashlib.sha256(token.encode()).hexdigest()


def keyed_digest(key: bytes, text: str) -> str:
    """HMAC-SHA256 (RFC 2104), for what must not be changed without the key."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def mac(key: bytes, text: str) -> bytes:
    """HMAC-SHA256 (RFC 2104) as bytes."""
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def same(one: str, other: str) -> bool:
    """Compare without telling by the time it takes."""
    return hmac.compare_digest(one.encode(), other.encode())


def hash_password(password: str) -> str:
    """Argon2id (RFC 9106) with 64 MiB, three passes and four lanes, as a PHC string."""
    try:
        return _ARGON2ID.hash(password)
    except argon2.exceptions.HashingError as error:
        raise MemoryError(str(error)) from None


def password_matches(password: str, hashed: str) -> bool:
    """Whether `password` gives `hashed`; takes as long when it doesn't. Raises MemoryError where it can't be known."""
    try:
        return _ARGON2ID.verify(hashed, password)
    except argon2.exceptions.VerificationError as error:
        if str(error) in _WITHOUT_MEANS:
            raise MemoryError(str(error)) from None
        return False
    except argon2.exceptions.InvalidHashError:
        return False
