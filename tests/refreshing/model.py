"""A provider in memory and a guard that asks it in place of the network, for days of refreshing in seconds.

All of the application is real down to the guard, so every word that would leave for a host is seen here.
"""

import base64
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import requests

from applinks.crypto import new_id
from applinks.models import Administrator, Connection, SignInSession, database
from applinks.oauth.guard import CallFailedError, Guard
from applinks.oauth.registration import ClientRegistration
from applinks.providers import CATALOGUE
from applinks.services.links import Outgoing
from applinks.services.schedule import Pace
from applinks.services.storage import Storage
from applinks.settings import Settings
from applinks.wiring import Services, build
from tests.conftest import ADA

LIFE = 3600
RETRY_AFTER = 1700
QUICK = Pace(lease=60.0, turn=0.0, patience=0.0, again=0.0)


class Says(StrEnum):
    """What a token request meets. LOST is without an answer, before or after the refresh token was replaced."""

    GOOD = "a good answer"
    AWAY = "503"
    BUSY = "429 with Retry-After"
    UNREACHABLE = "a refused connection"
    LOST_BEFORE = "no answer, nothing replaced"
    LOST_AFTER = "no answer, the refresh token replaced"
    HTML = "HTML at 200"
    REDIRECT = "a redirect"
    INVALID_GRANT = "invalid_grant"
    INVALID_CLIENT = "invalid_client"
    INVALID_SCOPE = "invalid_scope"
    SERVER_ERROR = "server_error"


class Killed(BaseException):
    """The process has ended here."""


class Times:
    """The provider's clock, which is right, and ours, which is what a test makes it."""

    def __init__(self, now: float = 1_800_000_000) -> None:
        self.right = now
        self.offset = 0.0

    def __call__(self) -> float:
        return self.right + self.offset

    def advance(self, seconds: float) -> None:
        self.right += seconds


@dataclass
class Family:
    """All tokens of one consent. `ended` is true where the provider was told to end it, `unsure` where a newer refresh
    token was issued that nobody here has got for certain."""

    host: str
    live: bool = True
    ended: bool = False
    unsure: bool = False
    parents: dict[str, str] = field(default_factory=dict)  # of each refresh token, empty for the first one
    retired: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)  # retired, and a successor was used


@dataclass
class Turn:
    """One token request to come: what happens while it is under way, and what it meets."""

    says: Says = Says.GOOD
    meanwhile: Callable[[], object] | None = None
    killed: str = ""  # before or after the provider has acted
    overtaken: bool = False


@dataclass
class Sent:
    """One refresh: when it was sent by our clock and by the right one, and whether it was granted."""

    family: Family | None
    at: float
    right: float
    says: Says
    granted: bool


class Provider:
    """It replaces refresh tokens while it `rotates`. A forgiving one takes a replaced token until its successor is used; a
    strict one never, and ends the whole family."""

    def __init__(self, times: Times, *, forgiving: bool = True, life: int = LIFE) -> None:
        self.times, self.forgiving, self.life = times, forgiving, life
        self.standing = Says.GOOD
        self.gives_refresh_tokens = self.rotates = True
        self.turns: deque[Turn] = deque()
        self.sent: list[Sent] = []
        self.wrong: list[str] = []
        self.refused: dict[str, int | None] = {}  # refresh tokens, and the generation they were stored at
        self.access: dict[str, tuple[float, float]] = {}  # when each expires, and the offset of our clock by then
        self.families: dict[str, Family] = {}
        self.redeemed: Counter[str] = Counter()
        self.look: Callable[[Family, str], int | None] = lambda family, token: None
        self._under_way: Counter[int] = Counter()
        self._numbers = count(1)

    def consent(self, url: str) -> dict[str, str]:
        """What the provider's redirect would bring to the callback after *Allow*."""
        host = _host(url)
        state = parse_qs(urlsplit(url).query)["state"][0]
        return {"code": f"CANARY-{host}-code-{next(self._numbers)}", "state": state}

    def accepts(self, token: str) -> bool:
        """Whether a refresh token would be granted now."""
        family = self.families.get(token)
        if family is None or not family.live:
            return False
        return token not in family.retired or (self.forgiving and token not in family.gone)

    def forget_newest(self, token: str) -> str:
        """Go back to a backup from before a refresh token was issued; returns its predecessor, which is good again."""
        family = self.families.pop(token)
        parent = family.parents.pop(token)
        family.retired.discard(parent)
        return parent

    def call(self, request: requests.PreparedRequest) -> requests.Response:
        """Answer one request as the guard would. Raises CallFailedError."""
        host, path = _host(request.url or ""), urlsplit(request.url or "").path
        body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
        form = dict(parse_qsl(body))
        self._check_secrets(host, request, form)
        if database.in_transaction():
            self.wrong.append("A transaction is open while a provider is asked.")
        if path == "/revoke":
            self._revoke(form.get("token", ""))
            return _answer(200, "")
        if form.get("grant_type") == "authorization_code":
            self.redeemed[form["code"]] += 1
            return _json(200, self._issue(Family(host), ""))
        return self._refresh(form.get("refresh_token", ""))

    def _check_secrets(self, host: str, request: requests.PreparedRequest, form: dict[str, str]) -> None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        told = unquote_plus(base64.b64decode(encoded).decode()) if scheme == "Basic" else encoded
        for owner in re.findall(r"CANARY-(\w+)-", " ".join([told, *form.values()])):
            if owner != host:
                self.wrong.append(f"I6: a secret of {owner} left for {host}.")

    def _refresh(self, token: str) -> requests.Response:
        turn = self.turns.popleft() if self.turns else Turn(self.standing)
        family = self.families.get(token)
        generation = self.look(family, token) if family else None
        self._under_way[id(family)] += 1
        if self._under_way[id(family)] > 1 and not turn.overtaken:
            self.wrong.append("I1: two refreshes of one grant are under way.")
        sent = Sent(family, self.times(), self.times.right, turn.says, False)
        self.sent.append(sent)
        try:
            if turn.killed == "before":
                raise Killed
            if turn.meanwhile:
                turn.meanwhile()
            if turn.says is Says.INVALID_GRANT and family:
                self._end(family)
            answer = self._grant(token) if turn.says in (Says.GOOD, Says.LOST_AFTER, Says.INVALID_GRANT) else None
            sent.granted = bool(answer) and turn.says is Says.GOOD
            if family and answer and (turn.says is Says.LOST_AFTER or turn.killed):
                family.unsure = True
            if turn.killed == "after":
                raise Killed
            if turn.says in (Says.GOOD, Says.INVALID_GRANT):
                if answer is None:
                    self.refused[token] = generation
                return _json(200, answer) if answer else _json(400, {"error": "invalid_grant"})
            return _other(turn.says)
        finally:
            self._under_way[id(family)] -= 1

    def _grant(self, token: str) -> dict[str, object] | None:
        family = self.families.get(token)
        if family is None:
            return None
        if not self.accepts(token):
            family.live = family.live and self.forgiving
            return None
        if not self.rotates:
            return self._issue(family, token)
        family.retired.add(token)
        if parent := family.parents[token]:
            family.gone.add(parent)
        return self._issue(family, token)

    def _issue(self, family: Family, parent: str) -> dict[str, object]:
        number = next(self._numbers)
        access = f"CANARY-{family.host}-access-{number}"
        self.access[access] = (self.times.right + self.life, self.times.offset)
        granted: dict[str, object] = {"access_token": access, "token_type": "Bearer", "expires_in": self.life}
        if self.rotates if parent else self.gives_refresh_tokens:
            refresh = f"CANARY-{family.host}-refresh-{number}"
            self.families[refresh] = family
            family.parents[refresh] = parent
            granted["refresh_token"] = refresh
        return granted

    def _revoke(self, token: str) -> None:
        if family := self.families.get(token):
            self._end(family)

    def _end(self, family: Family) -> None:
        family.live, family.ended = False, True

    def end(self, token: str) -> None:
        """An account's owner takes the consent back."""
        self._end(self.families[token])


class InMemory(Guard):
    """The guard with a provider where the network would be; what it refuses to call it refuses still."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(loopback=True)
        self._provider = provider

    def call(self, request: requests.PreparedRequest, seconds: float) -> requests.Response:
        response = self._provider.call(request)
        response.request, response.url = request, self.endpoint(request.url or "")
        return response


@dataclass
class World:
    """One application over an open database: its services, its provider, and an administrator."""

    settings: Settings
    storage: Storage
    times: Times
    provider: Provider
    session: SignInSession
    services: Services

    @classmethod
    def open(cls, settings: Settings, storage: Storage, provider: Provider) -> "World":
        now = int(provider.times())
        administrator = Administrator.get_or_none(Administrator.username == "ada") or Administrator.create(
            id=new_id(), username="ada", password_hash="", created_at=now
        )
        session = SignInSession.get_or_none(SignInSession.id_digest == "ada") or SignInSession.create(
            id_digest="ada", administrator=administrator.id, started_at=now, last_active_at=now
        )
        services = make_services(settings, storage, provider)
        return cls(settings, storage, provider.times, provider, session, services)

    def create(self, host: str = "a", slug: str = "payroll") -> None:
        """A link to a host."""
        self.services.links.create(new_id(), registration(host, name=slug.capitalize()), ADA)

    def outgoing(self, slug: str = "payroll") -> Outgoing:
        return self.services.links.outgoing(slug)

    def begin(self, label: str) -> dict[str, str]:
        """Go as far as the provider's consent; returns what comes back from there."""
        return self.provider.consent(self.services.dance.begin(self.outgoing(), label, self.session, ADA))

    def connect(self, label: str) -> Connection:
        """The whole dance."""
        return self.services.dance.complete("payroll", self.begin(label), self.session, ADA)

    def refresh_due(self) -> int:
        """A round of the refresher, one after another; returns how many were due."""
        due = self.services.refresher._due()
        for _, connection_id in due:
            self.services.refresher._refresh(connection_id)
        return len(due)


def make_services(settings: Settings, storage: Storage, provider: Provider) -> Services:
    return build(settings, storage, CATALOGUE, provider.times, InMemory(provider), QUICK)


def registration(
    host: str, *, name: str = "Payroll", secret: str | None = "1", scopes: str = "read write"
) -> ClientRegistration:
    """A custom link to a host; every secret of it names the host."""
    base, custom = f"https://{host}.example", CATALOGUE["custom"]
    differences = {
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "revocation_endpoint": f"{base}/revoke",
        "client_authentication": "client_secret_basic",
    }
    return ClientRegistration(
        name=name,
        provider=custom,
        profile=custom.profile(differences),
        differences=differences,
        client_id="payroll-client",
        client_secret=None if secret is None else f"CANARY-{host}-secret-{secret}",
        scopes=scopes,
    )


def requests_of(sent: Iterable[Sent]) -> dict[int, list[Sent]]:
    """The refreshes of each grant."""
    found: dict[int, list[Sent]] = defaultdict(list)
    for one in sent:
        found[id(one.family)].append(one)
    return found


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").removesuffix(".example")


def _other(says: Says) -> requests.Response:
    match says:
        case Says.AWAY:
            return _answer(503, "")
        case Says.BUSY:
            return _answer(429, "", **{"Retry-After": str(RETRY_AFTER)})
        case Says.HTML:
            return _answer(200, "<html>Sign in to the network", **{"Content-Type": "text/html"})
        case Says.REDIRECT:
            return _answer(302, "")
        case Says.UNREACHABLE:
            raise CallFailedError("a.example can't be reached.")
        case Says.LOST_BEFORE | Says.LOST_AFTER:
            raise CallFailedError("a.example didn't answer in time.", ambiguous=True)
        case _:
            return _json(400, {"error": says.value})


def _json(status: int, body: object) -> requests.Response:
    return _answer(status, json.dumps(body), **{"Content-Type": "application/json"})


def _answer(status: int, body: str, **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response.encoding = status, "utf-8"
    response._content = body.encode()
    response.headers.update(headers)
    return response
