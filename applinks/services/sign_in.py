"""Administrators, their passwords, and the browser sessions they are signed in with."""

import threading
import unicodedata
from collections.abc import Callable
from contextlib import suppress

from peewee import DatabaseError

from applinks.crypto import NOBODYS_PASSWORD, digest, hash_password, new_id, new_token, password_matches
from applinks.errors import AppError, InvalidFieldError, NotFoundError, SpentError, ThrottledError
from applinks.models import ActorKind, Administrator, ApiKey, Consent, SetupCode, SignInSession, database
from applinks.services.counts import Counted, Counts
from applinks.services.events import Actor, Events
from applinks.services.throttle import Throttle

IDLE_SECONDS = 3600
SESSION_SECONDS = 12 * 3600
SETUP_SECONDS = 1800
TOUCH_SECONDS = 30
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 128
LONGEST_USERNAME = 60

_GUESSED = frozenset(("", "applinks", "password", "administrator", "admin", "letmein", "welcome", "changeme"))
_ROWS = ("qwertyuiop", "asdfghjkl", "1234567890", "abcdefghij", "passwordpassword")
_SETUP_GONE = "This setup address was used, or is older than 30 minutes. Start Applinks again to get a new one."


class SignIn:
    def __init__(self, events: Events, counts: Counts, clock: Callable[[], float]) -> None:
        self._events = events
        self._counts = counts
        self._clock = clock
        self._throttle = Throttle(clock)
        # Argon2id takes 64 MiB a time: a flood of tries must not take the machine's memory.
        self._hashing = threading.BoundedSemaphore(2)

    def anybody(self) -> bool:
        """Whether there is an administrator yet."""
        return Administrator.select().exists()

    def new_setup_code(self) -> str:
        """A one-time code for the setup address, good for 30 minutes; earlier ones stop working."""
        code = new_token()
        with database.atomic():
            SetupCode.delete().execute()
            SetupCode.create(code_digest=digest(code), expires_at=int(self._clock()) + SETUP_SECONDS)
        return code

    def check_setup_code(self, code: str) -> None:
        """Raises SpentError where the code doesn't work (any more)."""
        if not SetupCode.select().where(self._valid(code)).exists():
            raise SpentError(_SETUP_GONE)

    def set_up(self, code: str, username: str, password: str, address: str) -> Administrator:
        """Make the first administrator, once.

        Raises SpentError or InvalidFieldError.
        """
        self.check_setup_code(code)
        username, password = _read_username(username), read_password(password, username)
        hashed = self._hash(password)
        with database.atomic():
            if SetupCode.delete().where(self._valid(code)).execute() != 1:
                raise SpentError(_SETUP_GONE)
            return self._create(username, hashed, Actor(username, ActorKind.ADMINISTRATOR, address=address))

    def spend_setup_code(self, code: str) -> Administrator:
        """The demo's way in: its setup address signs its only administrator in, once. Raises SpentError."""
        with database.atomic():
            if SetupCode.delete().where(self._valid(code)).execute() != 1:
                raise SpentError(_SETUP_GONE)
            return Administrator.select().get()

    def check_password(self, username: str, password: str, address: str) -> Administrator | None:
        """The administrator whose password this is, or None, in the same time for an unknown name.

        Raises ThrottledError while guessing for this account or from this address is slowed.
        """
        username = unicodedata.normalize("NFC", username).strip()[: LONGEST_USERNAME + 1]
        account = username.casefold()
        if wait := self._throttle.begin(account, address):
            raise ThrottledError(f"There were too many wrong tries. The next one counts in {wait} seconds.", wait)
        administrator = Administrator.get_or_none(Administrator.username == username)
        hashed = (administrator.password_hash if administrator else "") or NOBODYS_PASSWORD
        with self._hashing:
            right = password_matches(_normal(password)[:LONGEST_PASSWORD], hashed)
        if not right or administrator is None or hashed == NOBODYS_PASSWORD or administrator.disabled_at:
            self._failed(administrator, address)
            return None
        self._throttle.succeeded(account, address)
        return administrator

    def _failed(self, administrator: Administrator | None, address: str) -> None:
        """An unknown name isn't written down: it may be a password that went into the wrong field."""
        name, why = (administrator.username, "wrong password") if administrator else ("", "unknown user name")
        if administrator and administrator.disabled_at:
            why = "disabled"
        self._counts.add(Counted("sign-in failed", ActorKind.STRANGER, "", name, words=why), address)

    def create(self, username: str, password: str, actor: Actor) -> Administrator:
        """Make one more administrator. Raises InvalidFieldError."""
        username, password = _read_username(username), read_password(password, username)
        hashed = self._hash(password)
        with database.atomic():
            if Administrator.select().where(Administrator.username == username).exists():
                raise InvalidFieldError("username", f"There is an administrator {username} already.")
            return self._create(username, hashed, actor)

    def _create(self, username: str, hashed: str, actor: Actor) -> Administrator:
        self._events.record(actor, "administrator made", words=username)
        return Administrator.create(id=new_id(), username=username, password_hash=hashed, created_at=int(self._clock()))

    def set_password(self, username: str, password: str, actor: Actor) -> None:
        """Give an administrator another password, and sign all browsers out; one who was disabled may sign in again.

        Raises NotFoundError or InvalidFieldError.
        """
        administrator = self._named(username)
        hashed = self._hash(read_password(password, administrator.username))
        with database.atomic():
            changed = Administrator.update(password_hash=hashed, disabled_at=None)
            changed.where(Administrator.id == administrator.id).execute()
            SignInSession.delete().where(SignInSession.administrator == administrator.id).execute()
            self._events.record(actor, "password changed", words=administrator.username)

    def disable(self, username: str, actor: Actor) -> list[str]:
        """Sign an administrator out for good, and revoke the API keys made by that administrator; returns their names.

        Consents are taken back, too.

        Raises NotFoundError.
        """
        administrator, now = self._named(username), int(self._clock())
        with database.atomic():
            Administrator.update(disabled_at=now).where(Administrator.id == administrator.id).execute()
            SignInSession.delete().where(SignInSession.administrator == administrator.id).execute()
            self._events.record(actor, "administrator disabled", words=administrator.username)
            for consent in Consent.select().where(Consent.administrator == administrator.id):
                whose = f"The consent of {administrator.username}."
                self._events.record(actor, "consent revoked", consent.link_id, words=whose)
            Consent.delete().where(Consent.administrator == administrator.id).execute()
            theirs = (ApiKey.made_by == administrator.username) & ApiKey.revoked_at.is_null()
            keys = list(ApiKey.select().where(theirs))
            for key in keys:
                ApiKey.update(revoked_at=now).where(ApiKey.id == key.id).execute()
                self._events.record(actor, "API key revoked", words=f"{key.name} ({key.id})")
        return [key.name for key in keys]

    def _named(self, username: str) -> Administrator:
        administrator = Administrator.get_or_none(Administrator.username == unicodedata.normalize("NFC", username))
        if administrator is None:
            raise NotFoundError(f"There is no administrator called {username}.")
        return administrator

    def change_password(self, session: SignInSession, current: str, new: str, actor: Actor) -> None:
        """Change a password and end the administrator's other sessions.

        Raises InvalidFieldError, or ThrottledError.
        """
        administrator = session.administrator
        if self.check_password(administrator.username, current, actor.address) is None:
            raise InvalidFieldError("current_password", "This isn't your current password.")
        hashed = self._hash(read_password(new, administrator.username))
        others = (SignInSession.administrator == administrator.id) & (SignInSession.id_digest != session.id_digest)
        with database.atomic():
            Administrator.update(password_hash=hashed).where(Administrator.id == administrator.id).execute()
            SignInSession.delete().where(others).execute()
            self._events.record(actor, "password changed", words=administrator.username)

    def choose_appearance(self, administrator: Administrator, appearance: str, actor: Actor) -> None:
        """Raises InvalidFieldError."""
        if appearance not in ("system", "light", "dark"):
            raise InvalidFieldError("appearance", "Choose one of the three.")
        with database.atomic():
            Administrator.update(appearance=appearance).where(Administrator.id == administrator.id).execute()
            self._events.record(actor, "settings changed", words=f"appearance: {appearance}")

    def begin_session(self, administrator: Administrator, draft: str = "", address: str = "") -> str:
        """Sign a browser in; returns the session's ID, of which only the digest is stored.

        Raises AppError where the administrator was disabled, or given another password, since that was checked.
        """
        session_id, now = new_token(), int(self._clock())
        with database.atomic():
            same = (Administrator.id == administrator.id) & (Administrator.password_hash == administrator.password_hash)
            if not Administrator.select().where(same & Administrator.disabled_at.is_null()).exists():
                raise AppError("This administrator was changed or disabled just now, so nobody was signed in.")
            SignInSession.delete().where(SignInSession.started_at <= now - SESSION_SECONDS).execute()
            SignInSession.create(
                id_digest=digest(session_id),
                administrator=administrator.id,
                started_at=now,
                last_active_at=now,
                draft=draft,
            )
            who = Actor(administrator.username, ActorKind.ADMINISTRATOR, administrator.id, address)
            self._events.record(who, "signed in")
        return session_id

    def session(self, session_id: str, *, active: bool) -> SignInSession | None:
        """The living session of an ID. `active` is false for requests made by a timer: they keep nothing alive."""
        found = SignInSession.get_or_none(SignInSession.id_digest == digest(session_id))
        now = int(self._clock())
        if found is None:
            return None
        if found.last_active_at <= now - IDLE_SECONDS or found.started_at <= now - SESSION_SECONDS:
            with suppress(DatabaseError):
                found.delete_instance()
            return None
        if active and found.last_active_at <= now - TOUCH_SECONDS:
            touched = SignInSession.update(last_active_at=now).where(SignInSession.id_digest == found.id_digest)
            with suppress(DatabaseError):  # a database that can't be written to can still be looked at
                touched.execute()
        return found

    def end_session(self, session: SignInSession, actor: Actor) -> None:
        with database.atomic():
            SignInSession.delete().where(SignInSession.id_digest == session.id_digest).execute()
            self._events.record(actor, "signed out")

    def take_draft(self, session: SignInSession) -> str:
        """The form that was interrupted, once."""
        if session.draft:
            SignInSession.update(draft="").where(SignInSession.id_digest == session.id_digest).execute()
        return session.draft

    def _valid(self, code: str) -> object:
        return (SetupCode.code_digest == digest(code)) & (SetupCode.expires_at > int(self._clock()))

    def _hash(self, password: str) -> str:
        with self._hashing:
            return hash_password(password)


def read_password(text: str, username: str) -> str:
    """A new password: 12 to 128 characters of any kind, and none that everybody guesses first.

    Raises InvalidFieldError.
    """
    password = _normal(text)
    if len(password) < SHORTEST_PASSWORD:
        raise InvalidFieldError(
            "password", f"The password has {len(password)} characters; {SHORTEST_PASSWORD} or more."
        )
    if len(password) > LONGEST_PASSWORD:
        raise InvalidFieldError("password", f"The password is longer than {LONGEST_PASSWORD} characters.")
    if _easy_to_guess(password.casefold(), username.casefold()):
        raise InvalidFieldError(
            "password", "This password is easy to guess. Take a few words that don't belong together."
        )
    return password


def _easy_to_guess(password: str, username: str) -> bool:
    """Too few different characters, one thing repeated, a row of keys, or a word of this place with digits."""
    repeated = (password + password).find(password, 1) < len(password)
    stem = "".join(char for char in password if char.isalpha())
    guessed = {word * times for word in (username, *_GUESSED) for times in (1, 2)}
    return len(set(password)) < 5 or repeated or stem in guessed or any(row in password for row in _ROWS)


def _read_username(text: str) -> str:
    username = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(username) <= LONGEST_USERNAME or not username.isprintable():
        raise InvalidFieldError("username", "A user name is 1 to 60 visible characters.")
    return username


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)
