"""The rotating provider of these tests does what it promises: the tests that lean on it are worth what it is."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
import requests

from tests.conftest import Clock
from tests.rotating import Fault, Outcome, Point, RotatingProvider

DEADLINE = 5
Body = dict[str, str]


@pytest.fixture
def rotating(clock: Clock) -> Iterator[RotatingProvider]:
    with RotatingProvider(clock=clock) as provider:
        yield provider


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "the deadline passed"
        time.sleep(0.002)


def ask(provider: RotatingProvider, refresh_token: str) -> socket.socket:
    """A client that has sent a token request and has read nothing."""
    client = socket.create_connection(("127.0.0.1", int(provider.base_url.rpartition(":")[2])), DEADLINE)
    body = urlencode({"grant_type": "refresh_token", "refresh_token": refresh_token})
    client.sendall(f"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    return client


def read(client: socket.socket) -> bytes:
    """All that comes until the end, or until a reset: then it ends with that word."""
    came = b""
    try:
        while block := client.recv(65_536):
            came += block
    except ConnectionResetError:
        came += b"RESET"
    return came


def refresh(provider: RotatingProvider, refresh_token: str) -> tuple[int, Body]:
    with ask(provider, refresh_token) as client:
        head, _, body = read(client).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def post(provider: RotatingProvider, **form: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(f"{provider.base_url}/token", form, auth=("any", "client"), timeout=DEADLINE)


def userinfo(provider: RotatingProvider, access_token: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        bearer = {"Authorization": f"Bearer {access_token}"}
        return session.get(f"{provider.base_url}/userinfo", headers=bearer, timeout=DEADLINE)


def outcomes(provider: RotatingProvider) -> list[Outcome]:
    return [request.outcome for request in provider.requests]


REFUSED = (400, {"error": "invalid_grant"})


def test_it_gives_two_new_tokens_and_retires_the_old_one(rotating: RotatingProvider, clock: Clock) -> None:
    access_token, first = rotating.grant("a")
    answer = post(rotating, grant_type="refresh_token", refresh_token=first).json()
    assert answer["expires_in"] == 3600
    assert rotating.issued_access_tokens("a") == {access_token, answer["access_token"]}
    assert not rotating.is_current("a", first)
    assert not rotating.is_usable("a", first)
    assert rotating.is_current("a", answer["refresh_token"])
    assert not rotating.is_current("a", answer["access_token"])
    (asked,) = rotating.requests
    assert (asked.wall, asked.grant, asked.refresh_token, asked.outcome) == (clock(), "a", first, "granted")


def test_it_ends_an_access_token_with_its_life(rotating: RotatingProvider, clock: Clock) -> None:
    access_token, refresh_token = rotating.grant("a")
    assert userinfo(rotating, access_token).json() == {"sub": "a", "name": "Somebody"}
    clock.advance(3600)
    assert not rotating.access_token_is_valid(access_token)
    assert userinfo(rotating, access_token).status_code == 401
    assert not rotating.access_token_is_valid(refresh_token)


def test_it_exchanges_a_code_once(rotating: RotatingProvider) -> None:
    back = rotating.consent(f"{rotating.base_url}/authorize?state=s", iss="me")
    assert (back["state"], back["iss"]) == ("s", "me")
    answer = post(rotating, grant_type="authorization_code", code=back["code"])
    name = rotating.requests[0].grant
    assert name is not None
    assert rotating.is_current(name, answer.json()["refresh_token"])
    assert userinfo(rotating, answer.json()["access_token"]).json()["sub"] == name
    assert post(rotating, grant_type="authorization_code", code=back["code"]).status_code == 400
    assert outcomes(rotating) == ["granted", "unknown"]


def test_it_refuses_what_it_does_not_know(rotating: RotatingProvider) -> None:
    access_token, _ = rotating.grant("a")
    assert refresh(rotating, "CANARY-made-up") == refresh(rotating, access_token) == REFUSED
    assert post(rotating, grant_type="password").json() == {"error": "unsupported_grant_type"}
    assert outcomes(rotating) == ["unknown"] * 3
    assert rotating.is_live("a")


def test_it_takes_a_retired_token_within_the_grace_alone(rotating: RotatingProvider, clock: Clock) -> None:
    rotating.grace = 10
    _, first = rotating.grant("a")
    _, lost = refresh(rotating, first)
    clock.advance(9)
    assert rotating.is_usable("a", first)
    assert not rotating.is_current("a", first)
    _, kept = refresh(rotating, first)
    assert rotating.is_current("a", lost["refresh_token"])
    assert rotating.is_current("a", kept["refresh_token"])
    clock.advance(1)
    assert not rotating.is_usable("a", first)
    assert refresh(rotating, first) == REFUSED
    assert outcomes(rotating) == ["granted", "grace", "reuse"]


@pytest.mark.parametrize("strict", [True, False])
def test_it_revokes_the_family_of_a_reused_token_when_strict(rotating: RotatingProvider, strict: bool) -> None:
    rotating.strict = strict
    _, first = rotating.grant("a")
    _, other = rotating.grant("b")
    _, answer = refresh(rotating, first)
    assert refresh(rotating, first) == REFUSED
    assert rotating.is_live("a") is rotating.is_usable("a", answer["refresh_token"]) is not strict
    assert rotating.access_token_is_valid(answer["access_token"]) is not strict
    assert refresh(rotating, answer["refresh_token"])[0] == (400 if strict else 200)
    assert refresh(rotating, other)[0] == 200
    assert outcomes(rotating) == ["granted", "reuse", "revoked" if strict else "granted", "granted"]


def test_it_ends_a_grant_that_the_user_withdraws(rotating: RotatingProvider) -> None:
    access_token, refresh_token = rotating.grant("a")
    rotating.revoke("a")
    assert refresh(rotating, refresh_token) == REFUSED
    assert not rotating.access_token_is_valid(access_token)
    assert outcomes(rotating) == ["revoked"]


def test_it_fails_as_it_is_told_one_request_each(rotating: RotatingProvider) -> None:
    _, token = rotating.grant("a")
    rotating.fail_next(Fault.status(503, retry_after=7), Fault.json(400, {"error": "slow_down"}), Fault.garbage())
    form = {"grant_type": "refresh_token", "refresh_token": token}
    away, slow, garbage, good = (post(rotating, **form) for _ in range(4))
    assert (away.status_code, away.headers["Retry-After"], away.content) == (503, "7", b"")
    assert (slow.status_code, slow.json()) == (400, {"error": "slow_down"})
    assert (garbage.status_code, garbage.headers["Content-Type"]) == (200, "text/html")
    assert good.ok
    assert outcomes(rotating) == ["failed"] * 3 + ["granted"]


def test_it_answers_503_to_everything_while_away(rotating: RotatingProvider) -> None:
    access_token, refresh_token = rotating.grant("a")
    rotating.away = True
    assert post(rotating, grant_type="refresh_token", refresh_token=refresh_token).status_code == 503
    assert userinfo(rotating, access_token).status_code == 503
    assert rotating.is_current("a", refresh_token)
    rotating.away = False
    assert refresh(rotating, refresh_token)[0] == 200


def test_it_resets_before_it_rotates(rotating: RotatingProvider) -> None:
    _, token = rotating.grant("a")
    rotating.fail_next(Fault.reset_before())
    with ask(rotating, token) as client:
        assert read(client) == b"RESET"
    assert rotating.is_current("a", token)
    assert outcomes(rotating) == ["failed"]


def test_it_resets_after_it_rotated(rotating: RotatingProvider) -> None:
    _, token = rotating.grant("a")
    rotating.fail_next(Fault.reset_after())
    with ask(rotating, token) as client:
        assert read(client) == b"RESET"
    assert not rotating.is_usable("a", token)
    assert outcomes(rotating) == ["granted"]


def test_it_breaks_off_in_the_middle_of_a_body(rotating: RotatingProvider) -> None:
    _, token = rotating.grant("a")
    rotating.fail_next(Fault.half())
    with ask(rotating, token) as client:
        head, _, body = read(client).partition(b"\r\n\r\n")
    assert b"200" in head
    assert body.startswith(b"{")
    assert body.endswith(b"RESET")
    assert not rotating.is_current("a", token)


def test_it_hangs_until_it_is_released(rotating: RotatingProvider) -> None:
    _, token = rotating.grant("a")
    rotating.fail_next(Fault.hang())
    with ask(rotating, token) as client:
        wait_until(lambda: rotating.requests)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(DEADLINE)
        rotating.release()
        assert b"CANARY-access-a" in read(client)
    assert not rotating.is_current("a", token)


def test_it_stops_with_requests_hung_paused_and_unsent(clock: Clock) -> None:
    with RotatingProvider(clock=clock) as provider:
        tokens = [provider.grant(name)[1] for name in "ab"]
        provider.fail_next(Fault.hang())
        hung = ask(provider, tokens[0])
        wait_until(lambda: provider.requests)
        provider.pause_at("received")
        paused = ask(provider, tokens[1])
        silent = socket.create_connection(hung.getpeername(), DEADLINE)
        assert provider.reached.wait(DEADLINE)
    for client in (hung, paused, silent):
        with client:
            assert read(client) in (b"", b"RESET")
    assert provider.is_current("b", tokens[1])


@pytest.mark.parametrize(
    ("point", "rotated", "part"),
    [("received", False, 0), ("rotated", True, 0), ("half", True, 1), ("answered", True, 2)],
)
def test_it_pauses_one_request_at_a_point(rotating: RotatingProvider, point: Point, rotated: bool, part: int) -> None:
    _, token = rotating.grant("a")
    _, other = rotating.grant("b")
    rotating.pause_at(point)
    with ask(rotating, token) as client:
        assert rotating.reached.wait(DEADLINE)
        assert rotating.is_current("a", token) is not rotated
        assert refresh(rotating, other)[0] == 200, "the request after it isn't paused"
        client.setblocking(False)
        came = b""
        if part == 0:
            with pytest.raises(BlockingIOError):
                client.recv(1)
        else:
            client.settimeout(DEADLINE)
            while (b"}" if part == 2 else b"{") not in came:
                block = client.recv(65_536)
                assert block, "it ended too early"
                came += block
        client.settimeout(DEADLINE)
        assert (b"}" in came) is (part == 2)
        rotating.go()
        assert json.loads((came + read(client)).partition(b"\r\n\r\n")[2])["token_type"] == "Bearer"


@pytest.mark.parametrize("point", ["received", "rotated", "half", "answered"])
def test_it_is_quiet_about_a_client_that_died(
    rotating: RotatingProvider, capfd: pytest.CaptureFixture[str], point: Point
) -> None:
    """And what was received is rotated all the same: a provider doesn't notice either."""
    _, token = rotating.grant("a")
    rotating.pause_at(point)
    with ask(rotating, token):
        assert rotating.reached.wait(DEADLINE)
    rotating.go()
    wait_until(lambda: not rotating.is_current("a", token))
    rotating.stop()
    rotating.start()
    assert capfd.readouterr() == ("", "")
    assert outcomes(rotating) == ["granted"]


def test_it_pauses_before_the_fault_that_the_request_has_taken(rotating: RotatingProvider) -> None:
    _, token = rotating.grant("a")
    rotating.fail_next(Fault.reset_before())
    rotating.pause_at("received")
    with ask(rotating, token):
        assert rotating.reached.wait(DEADLINE)
    rotating.go()
    wait_until(lambda: rotating.requests)
    assert rotating.is_current("a", token)


def test_it_counts_what_is_under_way_at_once(rotating: RotatingProvider) -> None:
    _, token = rotating.grant("a")
    _, other = rotating.grant("b")
    for _ in range(3):
        token = refresh(rotating, token)[1]["refresh_token"]
    assert rotating.in_flight_peak() == rotating.in_flight_peak("a") == 1
    rotating.pause_at("rotated")
    with ask(rotating, token):
        assert rotating.reached.wait(DEADLINE)
        refresh(rotating, other)
        assert (rotating.in_flight_peak(), rotating.in_flight_peak("a")) == (2, 1)
        refresh(rotating, token)
        assert (rotating.in_flight_peak("a"), rotating.in_flight_peak("b")) == (2, 1)


def test_it_does_not_count_a_client_that_has_its_answer(rotating: RotatingProvider) -> None:
    """It may ask again before its first connection has ended."""
    _, token = rotating.grant("a")
    rotating.pause_at("answered")
    with ask(rotating, token):
        assert rotating.reached.wait(DEADLINE)
        refresh(rotating, token)
    assert rotating.in_flight_peak() == 1


def test_it_does_not_count_a_client_that_has_gone(rotating: RotatingProvider) -> None:
    _, token = rotating.grant("a")
    rotating.fail_next(Fault.hang())
    with ask(rotating, token):
        wait_until(lambda: rotating.requests)
    refresh(rotating, token)
    assert rotating.in_flight_peak() == 1


def test_it_serves_64_at_once_and_rotates_for_one(clock: Clock) -> None:
    with RotatingProvider(clock=clock, strict=False) as provider, ThreadPoolExecutor(64) as pool:
        _, token = provider.grant("a")
        gate = threading.Barrier(64)
        provider.fail_next(*[Fault.hang()] * 64)

        def client() -> int:
            gate.wait(DEADLINE)
            return refresh(provider, token)[0]

        answers = [pool.submit(client) for _ in range(64)]
        wait_until(lambda: len(provider.requests) == 64)
        provider.release()
        assert sorted(answer.result(DEADLINE) for answer in answers) == [200] + [400] * 63
    assert provider.in_flight_peak("a") == 64


def test_it_finds_the_busiest_second(rotating: RotatingProvider) -> None:
    """A window slides: 0.9 and 1.8 lie in one second, 0 and 1 don't."""
    _, token = rotating.grant("a")
    refresh(rotating, token)
    (request,) = rotating.requests
    rotating.requests[:] = [type(request)(at, 0, "a", "", "granted") for at in (1.8, 0.0, 1.0, 0.25, 0.9)]
    assert rotating.requests_per_second() == 3
    rotating.requests.clear()
    assert rotating.requests_per_second() == 0


def test_it_waits_before_an_answer_not_before_it_rotates(clock: Clock) -> None:
    with RotatingProvider(clock=clock, latency=30) as provider:
        _, token = provider.grant("a")
        with ask(provider, token) as client:
            wait_until(lambda: not provider.is_current("a", token))
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)


def test_it_never_gives_a_token_twice() -> None:
    given = [RotatingProvider().grant("a") for _ in range(2)]
    assert len({token for tokens in given for token in tokens}) == 4
    assert all("CANARY" in token for tokens in given for token in tokens)


def test_it_refuses_a_name_that_is_taken(rotating: RotatingProvider) -> None:
    rotating.grant("a")
    with pytest.raises(AssertionError, match="before"):
        rotating.grant("a")
