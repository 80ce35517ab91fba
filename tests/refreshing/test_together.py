"""Many at once: threads of four processes that want one token, and an administrator who acts during a refresh."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from applinks.models import ApplicationLink, Connection, Event, State, database
from applinks.services.renewal import Outcome
from applinks.wiring import Services
from tests.refreshing.together import Instance, MovedClock, ask_all, keep_grant, make_link, mark, refresh_token
from tests.rotating import Fault, RotatingProvider
from tests.standin import StandIn, callback_path, raw_answer
from tests.visitor import Visitor, text_of

Answers = list[str]


@pytest.fixture
def clock() -> MovedClock:
    """The processes go by the real time."""
    return MovedClock()


@pytest.fixture
def strict() -> Iterator[RotatingProvider]:
    with RotatingProvider(latency=0.2) as provider:
        yield provider


@pytest.fixture
def connected(services: Services, strict: RotatingProvider) -> Callable[[int], Connection]:
    """Makes a connection whose token lives for so many seconds more."""
    return lambda left: keep_grant(services, strict, make_link(services, strict), left=left)


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Instance]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Instance()) for _ in range(4)]


@pytest.fixture
def ask(services: Services, environ: dict[str, str], processes: list[Instance]) -> Iterator[Callable[[], Answers]]:
    """What every thread of every process is answered: a token's mark, or a state."""
    with ExitStack() as stack:
        instances = [stack.enter_context(process.on(environ, lease=60, call=15)) for process in processes]
        yield lambda: ask_all(instances, Connection.get().id)[0]


def test_it_asks_once_for_all(
    connected: Callable[[int], Connection], ask: Callable[[], Answers], strict: RotatingProvider, services: Services
) -> None:
    """A057"""
    connected(0)
    answers = ask()
    stored = services.renewal._vault.access_token(Connection.get())
    assert answers == [mark(stored)] * 64
    assert [request.outcome for request in strict.requests] == ["granted"]
    assert strict.access_token_is_valid(stored)
    assert ask() == answers
    assert len(strict.requests) == 1


@pytest.mark.parametrize("left", [0, 30])
def test_it_asks_a_provider_in_trouble_once(
    connected: Callable[[int], Connection], ask: Callable[[], Answers], strict: RotatingProvider, left: int
) -> None:
    """A057, A063: whoever comes after that gets the token that lives still, or is told when to come again."""
    connected(left)
    strict.fail_next(*[Fault.status(503, retry_after=60)] * 64)
    before = Connection.get()
    answers = ask()
    assert len(set(answers)) == 1
    assert (answers[0] == State.RETRYING) is (left == 0)
    assert len(strict.requests) == 1
    assert Connection.get().failures == 1
    assert Connection.get().refresh_token_enc == before.refresh_token_enc


@pytest.mark.parametrize("refreshed_before", [False, True])
def test_it_shows_a_refused_token_to_nobody_twice(
    connected: Callable[[int], Connection],
    ask: Callable[[], Answers],
    strict: RotatingProvider,
    services: Services,
    refreshed_before: bool,
) -> None:
    """A057, A064: once; where its predecessor is kept still, that once as well."""
    connected(0)
    if refreshed_before:
        services.renewal.renew(Connection.get())
        Connection.update(expires_at=int(services.clock()), refreshed_at=0).execute()
    strict.revoke("default")
    strict.requests.clear()
    assert ask() == [State.RECONNECT_NEEDED] * 64
    assert len({request.refresh_token for request in strict.requests}) == len(strict.requests)
    assert len(strict.requests) == 1 + refreshed_before
    assert strict.in_flight_peak() == 1
    assert ask() == [State.RECONNECT_NEEDED] * 64
    assert len(strict.requests) == 1 + refreshed_before


class TestWithAnAdministrator:
    """The provider has moved the grant on and not answered yet: then somebody acts."""

    @pytest.fixture
    def link_form(self, strict: RotatingProvider, provider: StandIn, link_form: dict[str, str]) -> dict[str, str]:
        """Revocation goes to the stand-in, so that it can be seen."""
        return link_form | {
            "authorization_endpoint": f"{strict.base_url}/authorize",
            "token_endpoint": f"{strict.base_url}/token",
            "userinfo_endpoint": f"{strict.base_url}/userinfo",
            "revocation_endpoint": f"{provider.base_url}/revoke",
        }

    @pytest.fixture
    def consent(self, ada: Visitor, link_id: str, strict: RotatingProvider) -> Callable[[], None]:
        def dance() -> None:
            url = ada.continue_url(ada.post("/links/payroll/connect"))
            assert ada.get(callback_path(link_id, strict.consent(url))).status_code == 303

        return dance

    @pytest.fixture
    def renew_while(
        self, consent: Callable[[], None], services: Services, strict: RotatingProvider
    ) -> Callable[[Callable[[], object]], Outcome]:
        """Refresh, and do something before the answer comes."""
        consent()

        def renew() -> None:
            outcomes.append(services.renewal.renew(Connection.get()))
            database.close()

        def during(act: Callable[[], object]) -> Outcome:
            strict.requests.clear()
            strict.pause_at("rotated")
            refreshing = threading.Thread(target=renew)
            refreshing.start()
            assert strict.reached.wait(10)
            act()
            strict.go()
            refreshing.join()
            return outcomes[0]

        outcomes: list[Outcome] = []
        return during

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("connections/default/disconnect", 200),
            ("connections/default/remove", 200),
            ("delete", 200),
            ("delete", 503),
        ],
    )
    def test_it_ends_at_the_provider_what_was_ended_here_meanwhile(
        self,
        renew_while: Callable[[Callable[[], object]], Outcome],
        ada: Visitor,
        strict: RotatingProvider,
        provider: StandIn,
        path: str,
        status: int,
    ) -> None:
        """A102, C4: the grant of before, and what came too late; nothing comes back here, whatever the provider says."""
        provider.answer(*[raw_answer("", status)] * 2)
        assert renew_while(lambda: ada.post(f"/links/payroll/{path}")) == Outcome.OVERTAKEN
        name = strict.requests[0].grant or ""
        ended = [asked.form["token"] for asked in provider.asked]
        assert [strict.is_current(name, token) for token in ended] == [False, True]
        assert Connection.select().where(Connection.access_token_enc != "").count() == 0
        assert Connection.select().count() == (1 if "disconnect" in path else 0)
        assert ApplicationLink.select().count() == (0 if path == "delete" else 1)
        assert not Event.select().where(Event.what == "refreshed").exists()

    def test_it_ends_a_late_grant_where_it_came_from(
        self,
        renew_while: Callable[[Callable[[], object]], Outcome],
        ada: Visitor,
        strict: RotatingProvider,
        provider: StandIn,
        link_form: dict[str, str],
    ) -> None:
        """I6, A096: the link leads elsewhere by then, and nobody there sees a token of the earlier provider."""
        elsewhere = StandIn()
        elsewhere.start()
        moved = {name: f"{elsewhere.base_url}/{name}" for name in ("token_endpoint", "revocation_endpoint")}

        def edit() -> None:
            assert ada.post("/links/payroll/edit", link_form | moved | {"version": "1"}).status_code == 303

        assert renew_while(edit) == Outcome.OVERTAKEN
        elsewhere.stop()
        assert not elsewhere.asked
        name = strict.requests[0].grant or ""
        assert strict.is_current(name, provider.asked[-1].form["token"])
        assert Connection.get().state == State.DISCONNECTED
        assert not Connection.get().refresh_token_enc

    def test_it_stores_a_grant_beside_an_edit_that_leads_nowhere_else(
        self,
        renew_while: Callable[[Callable[[], object]], Outcome],
        ada: Visitor,
        strict: RotatingProvider,
        services: Services,
        link_form: dict[str, str],
    ) -> None:
        """C4: and the edit isn't lost either; a second one of the same version is."""
        edited = link_form | {"scopes": "read", "client_secret": "", "version": "1"}

        def edit() -> None:
            assert ada.post("/links/payroll/edit", edited).status_code == 303
            conflict = ada.post("/links/payroll/edit", edited | {"scopes": "everything"})
            assert conflict.status_code == 409
            assert "Somebody else has changed this link" in text_of(conflict)

        assert renew_while(edit) == Outcome.REFRESHED
        assert services.links.outgoing("payroll").stored.scopes == "read"
        assert strict.is_current(strict.requests[0].grant or "", refresh_token(services))
        assert services.renewal.renew(Connection.get()) == Outcome.REFRESHED

    def test_it_leaves_a_new_consent_alone(
        self,
        renew_while: Callable[[Callable[[], object]], Outcome],
        consent: Callable[[], None],
        strict: RotatingProvider,
        provider: StandIn,
        services: Services,
    ) -> None:
        """C4: it wins, and the late grant of the earlier one isn't ended: some providers would end both."""
        assert renew_while(consent) == Outcome.OVERTAKEN
        late, newest = (request.grant or "" for request in strict.requests)
        assert late != newest
        assert strict.is_current(newest, refresh_token(services))
        assert not provider.asked
        assert services.renewal.renew(Connection.get()) == Outcome.REFRESHED
        assert strict.is_current(newest, refresh_token(services))
