"""Re-encrypting what is stored, from older keys to the newest one, while servers and workers run.

Each value is exchanged for itself under another key, if it is still the one that was read: a refresh that comes in between
wins. Nothing needs to be remembered between two runs, so that one that was killed is simply begun again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from peewee import Expression, Field, fn

from applinks.crypto import Key, KeyRing, Place, UnreadableError, new_encryption_key, under
from applinks.errors import AppError
from applinks.models import AuthorizationFlow, Connection, Instance, IssuedToken, OutgoingLink, compact, database
from applinks.services.events import Actor, Events
from applinks.services.keys_file import KeysFile

BATCH = 20


@dataclass(frozen=True)
class Sealed:
    """A column of ciphertexts: what it is called, the row's key, and the place that they are bound to."""

    words: str
    column: Field
    row: Field
    table: str
    field: str


SEALED = (
    Sealed("client secrets", OutgoingLink.client_secret_enc, OutgoingLink.link, "outgoing_link", "client_secret"),
    Sealed(
        *("next client secrets", OutgoingLink.next_client_secret_enc, OutgoingLink.link),
        *("outgoing_link", "next_client_secret"),
    ),
    Sealed("access tokens", Connection.access_token_enc, Connection.id, "connection", "access_token"),
    Sealed("refresh tokens", Connection.refresh_token_enc, Connection.id, "connection", "refresh_token"),
    # It was the refresh token, and is moved as it is.
    Sealed(
        "earlier refresh tokens", Connection.previous_refresh_token_enc, Connection.id, "connection", "refresh_token"
    ),
    Sealed(
        *("code verifiers", AuthorizationFlow.code_verifier_enc, AuthorizationFlow.state_digest),
        *("authorization_flow", "code_verifier"),
    ),
    Sealed(
        *("grants that wait", AuthorizationFlow.held_grant_enc, AuthorizationFlow.state_digest),
        *("authorization_flow", "held_grant"),
    ),
    Sealed("tokens just given out", IssuedToken.successor_enc, IssuedToken.access_digest, "issued_token", "successor"),
    Sealed("the check of keys", Instance.key_check, Instance.id, "instance", "key_check"),
    Sealed("the audit log's key", Instance.event_key_enc, Instance.id, "instance", "event_key"),
)


@dataclass(frozen=True)
class Held:
    """A key of the file, and how many values are sealed with it. The first one `writes`."""

    key_id: str
    values: int
    writes: bool


class Rotation:
    def __init__(self, keys: KeyRing, file: KeysFile, events: Events, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock
        self._file = file
        self._events = events

    def generate(self, actor: Actor) -> str:
        """Put a new key in the first place; returns its ID. Raises AppError where the file can't be written."""
        key = new_encryption_key()
        with self._file.alone(), database.atomic():
            self._events.record(actor, "key generated", words=key[0])  # first: a file can't be rolled back
            self._file.replace([key, *self._file.read()])
        return key[0]

    def held(self) -> list[Held]:
        """The keys of the file in its order."""
        ids = [key_id for key_id, _ in self._file.read()]
        return [Held(key_id, self._under(key_id), key_id == ids[0]) for key_id in ids]

    def left(self) -> dict[str, int]:
        """How many values of each kind aren't under the newest key; none where all are."""
        counts = {sealed.words: _count(sealed, ~_is_under(sealed, self._keys.newest)) for sealed in SEALED}
        return {words: count for words, count in counts.items() if count}

    def rotate(self, tell: Callable[[str, int], None]) -> list[str]:
        """Bring every value under the newest key; `tell` of each kind how many were. Returns which ones can't be opened."""
        unreadable = []
        for sealed in SEALED:
            done = 0
            for rows in self._older(sealed):
                with database.atomic():
                    for key, ciphertext in rows:
                        if self._exchange(sealed, key, ciphertext):
                            done += 1
                        else:
                            unreadable.append(f"{sealed.words}: {key}")
            if done:
                tell(sealed.words, done)
        compact()
        return unreadable

    def drop(self, key_id: str, actor: Actor) -> None:
        """Take a key that nothing is under out of the file. Raises AppError for another."""
        with self._file.alone(), database.atomic():
            keys = self._file.read()
            self._check_unused(key_id, keys)
            self._events.record(actor, "key dropped", words=key_id)
            self._file.replace([key for key in keys if key[0] != key_id])

    def _check_unused(self, key_id: str, keys: list[Key]) -> None:
        if key_id not in dict(keys):
            raise AppError(f"{self._file.path} holds no key {key_id}.")
        if key_id == keys[0][0]:
            raise AppError(f"{key_id} is the key that is written with. It can be dropped once another one is.")
        if values := self._under(key_id):
            raise AppError(f"{values} values are still under {key_id}. Run: keys rotate")
        # A refresh that began before the rotation opens what it has read with the key of that time.
        under_way = (Connection.lease_owner != "") & (Connection.lease_until >= int(self._clock()))
        if Connection.select().where(under_way).exists():
            raise AppError("A refresh is under way, which may need the key still. Try again in a minute.")

    def record(self, actor: Actor, words: str) -> None:
        """Note in the audit log that it was done."""
        self._events.record(actor, "keys rotated", words=words)

    def _under(self, key_id: str) -> int:
        return sum(_count(sealed, _is_under(sealed, key_id)) for sealed in SEALED)

    def _older(self, sealed: Sealed) -> Iterator[list[tuple[str, str]]]:
        """Rows that aren't under the newest key, some at a time."""
        model, after = sealed.column.model, ""
        older = (sealed.column != "") & ~_is_under(sealed, self._keys.newest)
        while True:
            found: Any = (
                model.select(sealed.row, sealed.column).where(older & (sealed.row > after)).order_by(sealed.row)
            )
            rows = [(str(key), str(text)) for key, text in found.limit(BATCH).tuples()]
            if not rows:
                return
            yield rows
            after = rows[-1][0]

    def _exchange(self, sealed: Sealed, key: str, ciphertext: str) -> bool:
        """Whether it could be opened; where somebody else was quicker, theirs stays."""
        place = Place(sealed.table, key, sealed.field)
        try:
            anew = self._keys.seal(self._keys.open(ciphertext, place), place)
        except UnreadableError:
            return False
        as_read = (sealed.row == key) & (sealed.column == ciphertext)
        sealed.column.model.update({sealed.column: anew}).where(as_read).execute()
        return True


def _is_under(sealed: Sealed, key_id: str) -> Expression:
    beginning = under(key_id)
    found: Expression = fn.SUBSTR(sealed.column, 1, len(beginning)) == beginning
    return found


def _count(sealed: Sealed, which: Expression) -> int:
    return int(sealed.column.model.select().where((sealed.column != "") & which).count())
