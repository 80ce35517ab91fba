"""Anything that may happen to a grant, in any order: after every step, what must never be false (C4) is true."""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, note
from hypothesis import settings as how
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from applinks.errors import ConflictError
from applinks.models import ApplicationLink, Connection, OutgoingLink, State, database
from applinks.oauth.client import prepare_libraries
from applinks.services.dance import NotConnectedError
from applinks.services.renewal import Outcome
from applinks.services.storage import Storage, open_storage
from applinks.services.tokens import NoTokenError
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import ADA, SQLITE
from tests.refreshing.model import Family, Killed, Provider, Says, Times, Turn, World, make_services, registration

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")  # it keeps tables of characters, not in this tree

LABELS = st.sampled_from(["default", "other"])
HOSTS = st.sampled_from(["a", "b"])
SAYS = st.sampled_from(list(Says))
MEANWHILE = st.sampled_from(
    ["refresh", "round", "hand out", "disconnect", "remove", "delete", "reconnect", "lead elsewhere", "new secret"]
)
STANDING = st.sampled_from([Says.AWAY, Says.BUSY, Says.UNREACHABLE, Says.LOST_BEFORE, Says.HTML, Says.REDIRECT])
YEAR = 365 * 86_400
JUMPS = [3600, -3600, 600, -600, 10 * YEAR, -10 * YEAR]
MOMENTS = [10, 2_147_483_640, 4_294_967_290]  # 1970; where 32 bits end, with a sign and without
TICKS = st.sampled_from([1, 3, 40, 600, 3000, 3600, 90_000])
WORKING = (State.CONNECTED, State.RETRYING, State.EXPIRING)
# Whoever has one of these can't be handed anything.
EMPTY_HANDED = (State.DISCONNECTED, State.RECONNECT_NEEDED, State.UNREADABLE)


class Grants(RuleBasedStateMachine):
    """The services of one process, now and then those of another over the same database, and what a provider sees."""

    settings: Settings
    storage: Storage
    forgiving: bool

    def __init__(self) -> None:
        super().__init__()
        ApplicationLink.delete().execute()
        self.provider = Provider(Times())
        self.provider.look = self.look
        self.world = World.open(self.settings, self.storage, self.provider)
        self.others: list[Services] = []
        self.callbacks: list[dict[str, str]] = []
        self.used: list[dict[str, str]] = []
        self.seen: dict[str, tuple[int, str, str]] = {}
        self.overheard = _Overheard()
        logging.getLogger("applinks").addHandler(self.overheard)

    @initialize(life=st.sampled_from([45, 120, 3600, 86_400]), rotates=st.sampled_from([True, True, True, False]))
    def begin(self, life: int, rotates: bool) -> None:
        self.provider.forgiving, self.provider.life, self.provider.rotates = self.forgiving, life, rotates
        self.world.create()
        self.connect("default")

    # What people do

    @rule(label=LABELS)
    def connect(self, label: str) -> None:
        row = self.row(label)
        # Where the clock has gone back, an account of the future seems to have been connected meanwhile.
        if self.link() and (row is None or row.created_at <= self.world.times()):
            callback = self.world.begin(label)
            self.world.services.dance.complete("payroll", callback, self.world.session, ADA)
            self.used.append(callback)

    @rule(label=LABELS)
    def connect_without_refresh_token(self, label: str) -> None:
        self.provider.gives_refresh_tokens = False
        self.connect(label)
        self.provider.gives_refresh_tokens = True

    @rule(label=LABELS)
    def go_to_the_provider(self, label: str) -> None:
        if self.link():
            self.callbacks.append(self.world.begin(label))

    @precondition(lambda self: self.callbacks and self.link())
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        callback = self.callbacks.pop(data.draw(st.integers(0, len(self.callbacks) - 1)))
        self.used.append(callback)
        try:
            self.world.services.dance.complete("payroll", callback, self.world.session, ADA)
        except NotConnectedError as error:
            note(str(error))

    @precondition(lambda self: self.used and self.link())
    @rule(data=st.data())
    def come_back_again(self, data: st.DataObject) -> None:
        """I7"""
        callback = data.draw(st.sampled_from(self.used))
        with pytest.raises(NotConnectedError):
            self.world.services.dance.complete("payroll", callback, self.world.session, ADA)

    @precondition(lambda self: self.link())
    @rule(host=HOSTS)
    def lead_elsewhere(self, host: str) -> None:
        link = self.world.outgoing()
        self.world.services.links.update(link, registration(host), version=link.link.version, actor=ADA)

    @precondition(lambda self: self.link())
    @rule(scopes=st.sampled_from(["read", "read write admin"]), secret=st.sampled_from([None, "2"]))
    def edit(self, scopes: str, secret: str | None) -> None:
        link, host = self.world.outgoing(), self.host()
        changed = registration(host, scopes=scopes, secret=secret)
        assert not self.world.services.links.update(link, changed, version=link.link.version, actor=ADA)
        with pytest.raises(ConflictError):
            self.world.services.links.update(link, changed, version=link.link.version - 1, actor=ADA)

    @rule(label=LABELS, told=st.booleans())
    def disconnect(self, label: str, told: bool) -> None:
        if self.row(label):
            link = self.world.outgoing()
            ended = self.world.services.connections.disconnect(link.link.id, label, ADA)
            if told:
                self.world.services.connections.end_grants(link, [ended])

    @rule(label=LABELS)
    def remove(self, label: str) -> None:
        if self.row(label):
            self.world.services.connections.remove(self.world.outgoing().link.id, label, ADA)

    @rule(host=HOSTS)
    def delete_or_create(self, host: str) -> None:
        if self.link():
            self.world.services.links.delete(self.world.outgoing().link, ADA)
        else:
            self.world.create(host)

    # What happens to a refresh

    @rule(label=LABELS, says=SAYS)
    def refresh(self, label: str, says: Says) -> None:
        self.renew(label, Turn(says))

    @rule()
    def refresh_due(self) -> None:
        self.world.refresh_due()

    @rule(label=LABELS, says=SAYS)
    def refresh_by_a_round(self, label: str, says: Says) -> None:
        """When its time comes."""
        row = self.living(label)
        if row.next_attempt_at is not None:
            self.world.times.advance(max(0, row.next_attempt_at - self.world.times()))
            self.provider.turns.append(Turn(says))
            self.world.refresh_due()
            self.provider.turns.clear()

    @rule(label=LABELS, says=SAYS, what=MEANWHILE)
    def refresh_meanwhile(self, label: str, says: Says, what: str) -> None:
        """A057 and the rest of C4: something else happens before the provider has acted."""
        row = self.living(label)
        self.renew(label, Turn(says, meanwhile=lambda: self.happens(what, row)))

    @rule(label=LABELS, says=SAYS, then=SAYS, jump=st.sampled_from([61, 3600, -3600, 10 * YEAR]))
    def refresh_overtaken(self, label: str, says: Says, then: Says, jump: int) -> None:
        """A061: a process stands still until its lease is over, and another one takes it up."""
        row = self.living(label)

        def overtake() -> None:
            self.world.times.offset += jump
            # Nobody knows who was first at the provider: a strict one may have ended the grant.
            self.family(row).unsure = True
            self.provider.turns.append(Turn(then, overtaken=True))
            again = Connection.get_or_none(Connection.id == row.id)
            self.other().renewal.renew(again)
            self.provider.turns.clear()

        self.renew(label, Turn(says, meanwhile=overtake))

    @rule(label=LABELS, says=SAYS, where=st.sampled_from(["before", "after", "storing", "stored"]))
    def kill(self, label: str, says: Says, where: str) -> None:
        """C3: a process ends somewhere in a refresh, and a new one begins."""
        renewal: Any = self.world.services.renewal
        row = self.living(label)
        turn = Turn(says, killed=where if where in ("before", "after") else "")
        if where == "storing":
            renewal._record = _kill
            if says is Says.GOOD:
                turn.meanwhile = lambda: setattr(self.family(row), "unsure", True)
        if where == "stored":
            store = renewal._store
            renewal._store = lambda grant: _kill(store(grant))
        try:
            self.renew(label, turn)
        except Killed:
            note("killed")
        self.restart()

    @precondition(lambda self: self.provider.standing is Says.GOOD)
    @rule(label=LABELS)
    def forget_the_newest(self, label: str) -> None:
        """A provider comes back from a backup that doesn't know the refresh token it has just issued."""
        self.living(label)
        self.renew(label, Turn())
        row = self.living(label)
        if not row.previous_refresh_token_enc or row.state != State.CONNECTED or row.lease_owner:
            return
        token = self.world.services.inspection._vault.refresh_token(row)
        if not self.provider.accepts(token) or self.provider.families[token].unsure:
            return
        self.provider.forget_newest(token)
        assert self.world.services.renewal.renew(row) == Outcome.REFRESHED

    # What happens around it

    @rule(seconds=TICKS)
    def wait(self, seconds: int) -> None:
        self.world.times.advance(seconds)

    @rule(jump=st.sampled_from(JUMPS))
    def set_the_clock(self, jump: int) -> None:
        self.world.times.offset += jump
        self.world.times.offset = max(self.world.times.offset, 10 - self.world.times.right)

    @rule(moment=st.sampled_from(MOMENTS))
    def set_the_clock_to(self, moment: int) -> None:
        self.world.times.offset = moment - self.world.times.right

    @rule()
    def set_the_clock_right(self) -> None:
        self.world.times.offset = 0

    @rule(says=STANDING)
    def go_away(self, says: Says) -> None:
        self.provider.standing = says

    @rule()
    def come_here(self) -> None:
        self.provider.standing = Says.GOOD

    @rule(label=LABELS)
    def take_consent_back(self, label: str) -> None:
        row = self.row(label)
        if row and row.refresh_token_enc:
            family = self.family(row)
            family.live, family.ended = False, True

    @rule(label=LABELS, seconds=st.sampled_from([0, 60, 600, 100_000]), by_another=st.booleans())
    def hand_out(self, label: str, seconds: int, by_another: bool) -> None:
        if row := self.row(label):
            self.handed_out(self.other() if by_another else self.world.services, row, seconds)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def ask_for_one_that_was(self, data: st.DataObject) -> None:
        """I9"""
        connection_id = data.draw(st.sampled_from(sorted(self.seen)))
        row = Connection.get_or_none(Connection.id == connection_id)
        if row is None or row.state == State.DISCONNECTED:
            with pytest.raises(NoTokenError) as caught:
                self.world.services.tokens.valid(connection_id)
            assert caught.value.state == State.DISCONNECTED

    # What is always true

    @invariant()
    def is_right(self) -> None:
        assert not self.provider.wrong, self.provider.wrong
        assert not self.overheard.bugs, self.overheard.bugs
        assert max(self.provider.redeemed.values(), default=0) <= 1, "I7: a code was redeemed twice"
        for row in self.rows():
            self.check_generation(row)
            self.check_plan(row)
            if row.refresh_token_enc:
                self.check_grant(row)

    def check_generation(self, row: Connection) -> None:
        """I2"""
        now = (row.generation, row.access_token_enc, row.refresh_token_enc)
        before = self.seen.get(row.id, now)
        assert now[0] >= before[0]
        assert now[0] > before[0] or now == before, "tokens have changed within a generation"
        self.seen[row.id] = now

    def check_plan(self, row: Connection) -> None:
        """Nothing that lives is forgotten, and nothing that is over holds a token."""
        assert row.state != State.UNREADABLE
        if row.state == State.DISCONNECTED:
            assert not row.access_token_enc + row.refresh_token_enc + row.previous_refresh_token_enc
            assert row.next_attempt_at is None
        if row.state in (State.CONNECTED, State.RETRYING, State.CHECK_SETTINGS):
            assert row.refresh_token_enc, "there is nothing to refresh with"
        if row.state in (*WORKING, State.CHECK_SETTINGS):
            assert row.next_attempt_at is not None, "it will never be refreshed again"
        if row.state == State.RECONNECT_NEEDED and not row.refresh_token_enc:
            assert row.expires_at is not None, "I5"

    def check_grant(self, row: Connection) -> None:
        token = self.world.services.inspection._vault.refresh_token(row)
        if row.state == State.RECONNECT_NEEDED:
            assert self.provider.refused.get(token) == row.generation, "I5: the provider has never said so"
        family = self.provider.families[token]
        if family.ended or (family.unsure and not self.provider.forgiving):
            return
        assert self.provider.accepts(token), "the grant is lost"
        assert row.state != State.RECONNECT_NEEDED, "a grant that lives was given up"

    def look(self, family: Family, token: str) -> int | None:
        """I4, and C2: what a provider is shown is in the database, together with the intent to show it."""
        vault = self.world.services.inspection._vault
        for row in self.rows():
            earlier = Connection(id=row.id, refresh_token_enc=row.previous_refresh_token_enc)
            stored = [vault.refresh_token(one) for one in (row, earlier) if one.refresh_token_enc]
            if token in stored:
                if row.intent_generation != row.generation or not row.lease_owner:
                    self.provider.wrong.append("C2: a refresh token was sent without an intent.")
                return int(row.generation) if token == stored[0] else None
        self.provider.wrong.append("I4: a refresh token was sent that is neither the newest nor the one before.")
        return None

    def teardown(self) -> None:
        """In the end all is well again, for every grant that still lives."""
        try:
            if self.provider.families:
                self.recover()
        finally:
            logging.getLogger("applinks").removeHandler(self.overheard)
            for services in (self.world.services, *self.others):
                services.refresher.stop()
            for file in (self.settings.data_dir / "running").glob("*"):
                file.unlink()  # of those that were killed: a test run is shorter than the day they are kept for

    def recover(self) -> None:
        self.provider.standing = Says.GOOD
        for seconds in (0, 4000, 4500, self.provider.life, 60):
            self.world.times.advance(seconds)
            self.world.refresh_due()
            self.is_right()
        for row in Connection.select().where(Connection.refresh_token_enc != ""):
            family = self.family(row)
            if family.ended or (family.unsure and not self.provider.forgiving):
                continue
            assert row.state == State.CONNECTED, row.state
            assert row.lease_owner == ""
            assert self.handed_out(self.world.services, row, 0), "there is no token"

    # How it is done

    def link(self) -> bool:
        return bool(database.execute_sql("SELECT 1 FROM application_link").fetchall())

    def rows(self) -> list[Connection]:
        """Every connection. In plain SQL: what is looked at after every step takes most of the time."""
        cursor = database.execute_sql("SELECT * FROM connection ORDER BY label")
        names = [column[0] for column in cursor.description]
        return [Connection(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def row(self, label: str) -> Connection | None:
        return next((row for row in self.rows() if row.label == label), None)

    def living(self, label: str) -> Connection:
        """One that has a refresh token, connected first if need be."""
        if not self.link():
            self.world.create()
        row = self.row(label)
        if row and not row.refresh_token_enc:
            self.remove(label)
        if row is None or not row.refresh_token_enc:
            self.connect(label)
        return Connection.get(Connection.label == label)

    def host(self) -> str:
        return "b" if "//b." in OutgoingLink.get().differences else "a"

    def family(self, row: Connection) -> Family:
        return self.provider.families[self.world.services.inspection._vault.refresh_token(row)]

    def other(self) -> Services:
        """Another process over the same database."""
        if not self.others:
            self.others.append(make_services(self.settings, self.storage, self.provider))
        return self.others[0]

    def restart(self) -> None:
        """What the system does at the death of a process, and then a new one."""
        owner = self.world.services.refresher._owner
        if owner._file is not None:
            os.close(owner._file)
        self.world.services = make_services(self.settings, self.storage, self.provider)

    def renew(self, label: str, turn: Turn) -> None:
        """As *Refresh now* does."""
        row = self.row(label)
        if row is None:
            return
        self.provider.turns.append(turn)
        try:
            note(f"{self.world.services.renewal.renew(row)}")
        finally:
            self.provider.turns.clear()
        now = self.row(label)
        if now and now.state in EMPTY_HANDED:
            assert not self.handed_out(self.world.services, now, 0)

    def happens(self, what: str, row: Connection) -> None:
        other = self.other()
        match what:
            case "refresh":
                assert other.renewal.renew(row) == Outcome.CLAIMED
                now = Connection.get_by_id(row.id)
                assert other.renewal.renew(now) == Outcome.CLAIMED
            case "round":
                for _, connection_id in other.refresher._due():
                    assert connection_id != row.id, "what is under way is due"
                    other.refresher._refresh(connection_id)
            case "hand out":
                self.handed_out(other, row, 60)
            case "delete":
                self.delete_or_create("b")
            case "lead elsewhere":
                self.lead_elsewhere("a" if self.host() == "b" else "b")
            case "new secret":
                self.edit("read", "3")
            case "disconnect":
                self.disconnect(row.label, told=False)
            case "remove":
                self.remove(row.label)
            case "reconnect":
                self.connect(row.label)
        self.is_right()  # so that what is stored from here on is compared with this

    def handed_out(self, services: Services, row: Connection, seconds: int) -> bool:
        """I3, I9; and that a token lives which is called valid."""
        try:
            token = services.tokens.valid(row.id, seconds)
        except NoTokenError as error:
            note(str(error))
            return False
        assert not database.in_transaction()
        now = Connection.get_by_id(row.id)
        assert now.state not in EMPTY_HANDED, "I9"
        assert services.inspection._vault.access_token(now) == token.access_token, "I3: it isn't stored"
        expires, offset = self.provider.access[token.access_token]
        # A clock that has gone back less than a token is old can't be told from the row.
        if self.world.times.offset >= offset:
            assert self.world.times.right <= expires + 60, "an expired token was called valid"
        return True


class _Overheard(logging.Handler):
    """Failures that a round survives, and that nobody has thought of."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.bugs: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.bugs.append(f"{record.getMessage()} {record.exc_info[1] if record.exc_info else ''}")


def _kill(*_: object) -> Any:
    raise Killed


def run(settings: Settings, examples: int, steps: int, *, forgiving: bool, derandomize: bool = True) -> None:
    """Try so many histories of so many steps over one empty database; at random with `derandomize` off."""
    prepare_libraries(loopback=True)
    storage = open_storage(settings)
    if not settings.database_url:
        database.execute_sql("PRAGMA synchronous = off")  # no power cut is tried here
    machine = type("Grants", (Grants,), {"settings": settings, "storage": storage, "forgiving": forgiving})
    profile = how(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine, settings=profile)
    finally:
        database.close()


@pytest.mark.parametrize("forgiving", [True, False], ids=["forgiving", "strict"])
def test_it_loses_no_grant_whatever_happens(settings: Settings, database_kind: str, forgiving: bool) -> None:
    """C4: I1 to I7, I9"""
    run(settings, 100 if database_kind == SQLITE else 8, 50, forgiving=forgiving)
