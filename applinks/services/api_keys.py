"""API keys: what a script shows to read the tokens of named links. Stored as a digest, and looked up at every request.

`apl_<id>_<secret><checksum>`: the prefix is for people and for scanners that search for leaked secrets, the checksum tells a
typo from a key that is gone.
"""

import re
import secrets
import string
import zlib
from collections.abc import Callable, Sequence
from enum import StrEnum

from applinks.crypto import digest, same
from applinks.errors import InvalidFieldError, NotFoundError, ThrottledError, UnauthorizedError
from applinks.models import ActorKind, ApiKey, ApiKeyLink, ApplicationLink, Reading, database
from applinks.oauth.registration import read_name
from applinks.services.access import Access
from applinks.services.counts import Counted, Counts
from applinks.services.events import Actor, Events
from applinks.services.throttle import Allowance

DAY = 86_400
USUAL_DAYS = 90
MOST_DAYS = 365
REFUSED = "API key refused"

_NAMED = 10  # slugs in a line of the audit log
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 12, 43, 6  # 43 of 62 characters hold 256 bits
_FORM = re.compile(rf"apl_([0-9a-z]{{{_ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}")


class Standing(StrEnum):
    """What is wrong with a key that was shown. Whoever shows it isn't told which."""

    GOOD = "good"
    MISTYPED = "mistyped"
    UNKNOWN = "not a key of this Applinks"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ApiKeys:
    def __init__(self, events: Events, counts: Counts, clock: Callable[[], float]) -> None:
        self._events = events
        self._counts = counts
        self._clock = clock
        self._allowance = Allowance(clock)

    def make(
        self, name: str, link_ids: Sequence[str] | None, *, manages: bool, days: int, actor: Actor
    ) -> tuple[ApiKey, str]:
        """Make a key for these links, None for all, none for /metrics alone; returns it with its text, which is never seen again.

        Raises InvalidFieldError.
        """
        if not name.strip():
            raise InvalidFieldError("name", "Give the key a name, such as the script that will show it.")
        name = read_name(name)
        if not 1 <= days <= MOST_DAYS:
            raise InvalidFieldError("days", f"A key lives 1 to {MOST_DAYS} days.")
        if link_ids is not None and not link_ids and manages:
            raise InvalidFieldError("may", "A key for no links can't manage any.")
        key_id, text = _new_key()
        now = int(self._clock())
        with database.atomic():
            links = list(ApplicationLink.select().where(ApplicationLink.id.in_(list(link_ids or []))))
            if link_ids is not None and len(links) != len(set(link_ids)):
                raise InvalidFieldError("links", "One of these links isn't there any more.")
            key = ApiKey.create(
                id=key_id,
                name=name,
                digest=digest(text),
                all_links=link_ids is None,
                manages=manages,
                made_by=actor.name,
                created_at=now,
                expires_at=now + days * DAY,
            )
            for link in links:
                ApiKeyLink.create(api_key=key_id, link=link.id)
            reach = "all links" if link_ids is None else _named(sorted(link.slug for link in links)) or "no link"
            what = "manages" if manages else "reads tokens of"
            self._events.record(actor, "API key made", words=f"{name} ({key_id}): {what} {reach}, {days} days")
        return key, text

    def list(self) -> list[tuple[ApiKey, list[str]]]:
        """Every key with the slugs that it is for, newest first."""
        slugs: dict[str, list[str]] = {}
        rows = ApiKeyLink.select(ApiKeyLink, ApplicationLink.slug).join(ApplicationLink)
        for row in rows.order_by(ApplicationLink.slug):
            slugs.setdefault(row.api_key_id, []).append(row.link.slug)
        keys = ApiKey.select().order_by(ApiKey.created_at.desc(), ApiKey.id)
        return [(key, slugs.get(str(key.id), [])) for key in keys]

    def find(self, key_id: str) -> ApiKey:
        """Raises NotFoundError."""
        key = ApiKey.get_or_none(ApiKey.id == key_id)
        if key is None:
            raise NotFoundError("There is no such API key.")
        return key

    def slugs_of(self, key: ApiKey) -> Sequence[str]:
        """The links that a key is for, where it isn't for all."""
        rows = ApplicationLink.select(ApplicationLink.slug).join(ApiKeyLink).where(ApiKeyLink.api_key == key.id)
        return [str(link.slug) for link in rows.order_by(ApplicationLink.slug)]

    def revoke(self, key_id: str, actor: Actor) -> ApiKey:
        """Revoke a key; it counts at the very next request. Raises NotFoundError."""
        with database.atomic():
            key = self.find(key_id)
            if key.revoked_at is None:
                key.revoked_at = int(self._clock())
                key.save(only=[ApiKey.revoked_at])
                self._events.record(actor, "API key revoked", words=f"{key.name} ({key.id})")
        return key

    def standing_of(self, text: str) -> tuple[Standing, ApiKey | None]:
        """What is right or wrong with a key, for whoever runs this Applinks; a right one with its row."""
        key_id = id_of(text)
        key = ApiKey.get_or_none(ApiKey.id == key_id) if key_id else None
        if key is None:
            return Standing.UNKNOWN if key_id else Standing.MISTYPED, None
        found = self._standing(text, key.digest, key.revoked_at, key.expires_at)
        return found, None if found is Standing.UNKNOWN else key

    def authenticate(self, text: str, address: str) -> Access:
        """Who shows a key. Raises UnauthorizedError, or ThrottledError after many wrong ones from there."""
        standing, key = self.standing_of(text)
        if standing is not Standing.GOOD or key is None:
            raise self._refused(text, standing, key.id if key else "", key.name if key else "", address)
        self._counts.used(ApiKey, key.id)
        scope = ApiKeyLink.select(ApiKeyLink.link).where(ApiKeyLink.api_key == key.id)
        links = None if key.all_links else frozenset(row.link_id for row in scope)
        actor = Actor(key.name, ActorKind.API_KEY, key.id, address)
        return Access(actor, key.manages, link_ids=links, token_ids=links)

    def check(self, text: str, row: Reading, address: str) -> None:
        """The same for a row that was read together with what the key is for."""
        if row.key_id is None:
            raise self._refused(text, Standing.UNKNOWN if id_of(text) else Standing.MISTYPED, "", "", address)
        standing = self._standing(text, row.key_digest, row.key_revoked_at, row.key_expires_at)
        if standing is not Standing.GOOD:
            known = standing is not Standing.UNKNOWN
            raise self._refused(text, standing, row.key_id if known else "", row.key_name if known else "", address)
        self._counts.used(ApiKey, row.key_id)

    def _standing(self, text: str, stored: str, revoked_at: int | None, expires_at: int) -> Standing:
        if not same(digest(text), stored):
            return Standing.UNKNOWN
        if revoked_at is not None:
            return Standing.REVOKED
        return Standing.GOOD if expires_at > self._clock() else Standing.EXPIRED

    def _refused(self, text: str, standing: Standing, key_id: str, name: str, address: str) -> Exception:
        """The one refusal there is; what was wrong goes into the audit log alone, and nothing where nothing was shown."""
        if wait := self._allowance.failed(address):
            return ThrottledError(f"There were too many wrong API keys from here. Try again in {wait} seconds.", wait)
        if text:
            counted = Counted(REFUSED, ActorKind.STRANGER, key_id, name, words=standing.value)
            self._counts.add(counted, address)
        return UnauthorizedError()


def id_of(text: str) -> str:
    """The ID in a key's text, empty where it isn't written as a key is."""
    found = _FORM.fullmatch(text)
    body, checksum = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    return found[1] if found and checksum == _checksum(body) else ""


def _named(slugs: list[str]) -> str:
    more = len(slugs) - _NAMED
    return ", ".join(slugs[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _new_key() -> tuple[str, str]:
    key_id = "".join(secrets.choice(string.digits + string.ascii_lowercase) for _ in range(_ID_LENGTH))
    body = f"apl_{key_id}_{_base62(int.from_bytes(secrets.token_bytes(32), 'big'), _SECRET_LENGTH)}"
    return key_id, body + _checksum(body)


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, last = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[last] + digits
    return digits
