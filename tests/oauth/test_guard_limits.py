"""The guard among many calls, behind a proxy, and in an environment that would like to have a say."""

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import requests

from applinks.oauth.guard import AddressRefusedError, CallFailedError, Guard
from tests.authority import Authority
from tests.faults import FaultyProvider, Step

ANSWER: Step = {"send": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}
WHEN_TOLD: list[Step] = [{"wait": True}, ANSWER]
ESTABLISHED: Step = {"send": "HTTP/1.1 200 Connection established\r\n\r\n"}
HOSTS = [f"host-{number}.example" for number in range(6)]
PUBLIC = "8.8.8.8"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def guard(authority: Authority) -> Guard:
    """Every name leads to loopback."""
    return Guard(loopback=True, resolve=lambda host: ["127.0.0.1"], ca_file=authority.ca_file, seconds=5)


@pytest.fixture
def slow(authority: Authority) -> Iterator[FaultyProvider]:
    """Answers when it is told to, by any of HOSTS as its name."""
    with FaultyProvider(WHEN_TOLD, authority.server("good", *HOSTS)) as slow:
        yield slow


@pytest.fixture
def quick(authority: Authority) -> Iterator[FaultyProvider]:
    with FaultyProvider([ANSWER], authority.server("good", *HOSTS)) as quick:
        yield quick


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def get(guard: Guard, url: str) -> int:
    """The status of an answer. Raises AddressRefusedError or CallFailedError."""
    with requests.Session() as session:
        guard.protect(session)
        return session.get(url).status_code


def at(provider: FaultyProvider, host: str = HOSTS[0]) -> str:
    return f"https://{host}:{provider.port}/token"


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


def failure(guard: Guard, url: str) -> CallFailedError:
    """How a call fails, within its time."""
    with pytest.raises(CallFailedError) as failed:
        get(guard, url)
    return failed.value


def release(slow: FaultyProvider, calls: list[Future[int]]) -> None:
    """Answer all that wait, and those that come after them."""
    for _ in calls:
        slow.let_go()
    assert {call.result() for call in calls} == {200}


def test_it_lets_a_hanging_host_delay_no_other(
    guard: Guard, slow: FaultyProvider, quick: FaultyProvider, pool: ThreadPoolExecutor
) -> None:
    """A086"""
    hanging = [pool.submit(get, guard, at(slow)) for _ in range(8)]
    wait_until(lambda: slow.connections == 4)
    for _ in range(20):
        began = time.monotonic()
        assert get(guard, at(quick, HOSTS[1])) == 200
        assert time.monotonic() - began < 1
    assert slow.connections == 4
    release(slow, hanging)


def test_it_goes_ahead_with_the_fifth_call_when_one_ends(
    guard: Guard, slow: FaultyProvider, pool: ThreadPoolExecutor
) -> None:
    calls = [pool.submit(get, guard, at(slow)) for _ in range(5)]
    wait_until(lambda: slow.connections == 4)
    slow.let_go()
    wait_until(lambda: slow.connections == 5 and any(call.done() for call in calls))
    assert sum(call.done() for call in calls) == 1
    release(slow, calls)


def test_it_gives_a_place_back_when_a_call_fails(guard: Guard, quick: FaultyProvider) -> None:
    quick.script = [{"reset": True}]
    for _ in range(5):
        assert failure(guard, at(quick)).ambiguous
    quick.script = [ANSWER]
    assert get(guard, at(quick)) == 200


def test_it_takes_a_reset_at_any_moment_for_a_failure(guard: Guard) -> None:
    """Whether the reset comes before or after the connection counts as made is a race: so many times, and a port each."""
    for _ in range(40):
        with FaultyProvider([{"skip_request": True}, {"reset": True}]) as provider:
            assert failure(guard, provider.base_url)


def test_it_makes_sixteen_calls_at_once_and_no_more(
    guard: Guard, slow: FaultyProvider, quick: FaultyProvider, pool: ThreadPoolExecutor
) -> None:
    calls = [pool.submit(get, guard, at(slow, host)) for host in HOSTS[:4] * 4]
    wait_until(lambda: slow.connections == 16)
    another = pool.submit(get, guard, at(quick, HOSTS[5]))
    with pytest.raises(TimeoutError):
        another.result(0.3)
    assert quick.connections == 0
    slow.let_go()
    assert another.result() == 200
    release(slow, calls)


def test_it_gives_up_where_no_place_becomes_free_in_time(
    authority: Authority, slow: FaultyProvider, pool: ThreadPoolExecutor
) -> None:
    """The call that waits is the first to begin, and the last whose name is found: so its time ends before the others'."""
    looks, looking, found = count(), threading.Event(), threading.Event()

    def resolve(host: str) -> list[str]:
        if next(looks) == 0:
            looking.set()
            found.wait(10)
        return ["127.0.0.1"]

    guard = Guard(loopback=True, resolve=resolve, ca_file=authority.ca_file, seconds=1.5)
    late = pool.submit(failure, guard, at(slow))
    assert looking.wait(10)
    for _ in range(4):
        pool.submit(get, guard, at(slow))
    wait_until(lambda: slow.connections == 4)
    found.set()
    assert not late.result().ambiguous
    assert slow.connections == 4
    slow.stop()  # however the others end


def test_it_counts_the_name_service_within_the_deadline(quick: FaultyProvider) -> None:
    """A085"""
    over = threading.Event()
    guard = Guard(loopback=True, resolve=lambda host: ["127.0.0.1"] if over.wait(10) else [], seconds=0.3)
    began = time.monotonic()
    failed = failure(guard, at(quick))
    assert time.monotonic() - began < 1
    assert not failed.ambiguous
    over.set()
    assert quick.connections == 0


def test_it_ignores_the_environment(
    guard: Guard, quick: FaultyProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A053, CVE-2024-47081"""
    with FaultyProvider([{"reset": True}]) as trap, FaultyProvider([ANSWER]) as plain:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, trap.base_url)
            monkeypatch.setenv(name.lower(), trap.base_url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        netrc = tmp_path / ".netrc"
        netrc.write_text("default login ada password CANARY-netrc\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("HOME", str(tmp_path))
        assert get(guard, at(quick)) == 200
        assert get(guard, plain.base_url) == 200
        assert trap.connections == 0
        assert b"Authorization" not in quick.requests[0] + plain.requests[0]


def test_it_trusts_no_authority_of_the_environment(
    authority: Authority, quick: FaultyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(authority.ca_file))
    failed = failure(Guard(loopback=True, resolve=lambda host: ["127.0.0.1"], seconds=5), at(quick))
    assert not failed.ambiguous
    assert "APPLINKS_CA_FILE" in str(failed)
    assert not quick.requests


def test_it_trusts_an_authority_of_the_operator(guard: Guard, quick: FaultyProvider) -> None:
    """A052"""
    assert get(guard, at(quick)) == 200


def test_it_verifies_whatever_a_session_asks_for(guard: Guard, authority: Authority) -> None:
    """A052: there is no switch."""
    with FaultyProvider([ANSWER], authority.server("self-signed", HOSTS[0])) as provider, requests.Session() as session:
        guard.protect(session)
        session.verify = False
        with pytest.raises(CallFailedError):
            session.get(at(provider), verify=False)
        assert not provider.requests


def test_it_tells_no_open_port_from_a_closed_one(quick: FaultyProvider) -> None:
    """A082: an address that isn't allowed isn't even tried."""
    guard = Guard(loopback=False, resolve=lambda host: ["127.0.0.1"])
    with FaultyProvider([{"skip_accept": "refuse"}]) as closed:
        said = set()
        for provider in (quick, closed):
            with pytest.raises(AddressRefusedError) as refused:
                get(guard, at(provider))
            said.add(str(refused.value))
    assert len(said) == 1
    assert quick.connections == 0


def test_it_keeps_the_name_where_it_goes_to_an_address(guard: Guard, authority: Authority) -> None:
    """A078: certificate, SNI and Host are the name's; the connection is the address's."""
    asked: list[str | None] = []
    tls = authority.server("good", "token.provider.example")
    tls.sni_callback = lambda end, name, context: asked.append(name)
    with FaultyProvider([ANSWER], tls) as provider:
        assert get(guard, at(provider, "token.provider.example")) == 200
        assert asked == ["token.provider.example"]
        assert f"\r\nHost: token.provider.example:{provider.port}\r\n".encode() in provider.requests[0]
        assert not failure(guard, at(provider, "another.example")).ambiguous
        assert not failure(guard, at(provider, "127.0.0.1")).ambiguous
        assert len(provider.requests) == 1


class Tunnel(FaultyProvider):
    """Can do one step more: {"tunnel": port} carries bytes to a port of loopback and back."""

    def do(self, end: socket.socket, step: Step) -> None:
        super().do(end, step)
        if "tunnel" not in step:
            return
        with socket.create_connection(("127.0.0.1", step["tunnel"])) as far:
            self.open.add(far)
            self.run(carry, far, end)
            carry(end, far)


def carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65_536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


@dataclass
class Proxied:
    """A proxy that leads everything to `quick`, and guards that use it."""

    proxy: FaultyProvider
    ca_file: Path

    def guard(self, *addresses: str, user: str = "", loopback: bool = False, seconds: float = 5) -> Guard:
        return Guard(
            loopback=loopback,
            resolve=lambda host: addresses or (PUBLIC,),
            ca_file=self.ca_file,
            proxy=f"http://{user}127.0.0.1:{self.proxy.port}",
            seconds=seconds,
        )


@pytest.fixture
def proxied(authority: Authority, quick: FaultyProvider) -> Iterator[Proxied]:
    with Tunnel([ESTABLISHED, {"tunnel": quick.port}]) as proxy:
        yield Proxied(proxy, authority.ca_file)


@pytest.mark.parametrize(("address", "target"), [(PUBLIC, PUBLIC), ("2606:4700::1111", "[2606:4700::1111]")])
def test_it_asks_the_proxy_for_the_address_that_it_checked(
    proxied: Proxied, quick: FaultyProvider, address: str, target: str
) -> None:
    """Or else the proxy would look the name up once more, and find what it likes."""
    assert get(proxied.guard(address), f"https://{HOSTS[0]}/token") == 200
    [asked] = proxied.proxy.requests
    assert asked.startswith(f"CONNECT {target}:443 HTTP/1.1\r\n".encode())
    assert b"example" not in asked
    assert f"\r\nHost: {HOSTS[0]}\r\n".encode() in quick.requests[0]


def test_it_finds_a_proxy_by_its_name_within_the_same_time(proxied: Proxied, quick: FaultyProvider) -> None:
    url, released = f"https://{HOSTS[0]}/token", threading.Event()
    found = {HOSTS[0]: [PUBLIC], "proxy.example": ["127.0.0.1"]}
    where = f"http://proxy.example:{proxied.proxy.port}"
    guard = Guard(loopback=False, resolve=found.__getitem__, ca_file=proxied.ca_file, proxy=where, seconds=5)
    assert get(guard, url) == 200

    def silent(host: str) -> list[str]:
        return [PUBLIC] if host == HOSTS[0] else [str(released.wait(10))]

    began = time.monotonic()
    failed = failure(Guard(loopback=False, resolve=silent, proxy=where, seconds=0.5), url)
    released.set()
    assert time.monotonic() - began < 1.5
    assert not failed.ambiguous
    assert proxied.proxy.connections == 1


def test_it_shows_its_credentials_to_the_proxy_alone(proxied: Proxied, quick: FaultyProvider) -> None:
    assert get(proxied.guard(user="ada:CANARY%2Dproxy@"), at(quick)) == 200
    basic = base64.b64encode(b"ada:CANARY-proxy")
    assert b"\r\nProxy-Authorization: Basic " + basic + b"\r\n" in proxied.proxy.requests[0]
    assert b"Authorization" not in quick.requests[0]
    assert basic not in quick.requests[0]


def test_it_trusts_a_proxy_no_more_than_any_line(proxied: Proxied, quick: FaultyProvider) -> None:
    assert not failure(proxied.guard(), "https://another.example/token").ambiguous
    assert proxied.proxy.connections == 1
    assert not quick.requests


def test_it_asks_a_proxy_for_no_address_that_is_not_allowed(proxied: Proxied) -> None:
    for addresses in (["10.0.0.1"], [PUBLIC, "10.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]):
        with pytest.raises(AddressRefusedError):
            get(proxied.guard(*addresses), f"https://{HOSTS[0]}/token")
    assert proxied.proxy.connections == 0


def test_it_needs_no_proxy_on_loopback(proxied: Proxied, quick: FaultyProvider) -> None:
    assert get(proxied.guard("127.0.0.1", loopback=True), at(quick)) == 200
    assert proxied.proxy.connections == 0


FAILING: dict[str, list[Step]] = {
    "closes": [],
    "resets": [{"reset": True}],
    "hangs": [{"hang": True}],
    "wants-credentials": [{"send": "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"}],
    "forbids": [{"send": "HTTP/1.1 403 Forbidden\r\n\r\n"}],
    "redirects": [{"send": "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"}],
    "finds-nobody": [{"send": "HTTP/1.1 502 Bad Gateway\r\n\r\n"}],
    "has-no-such-status": [{"send": "HTTP/1.1 2000 OK\r\n\r\n"}],
    "speaks-ssh": [{"send": "SSH-2.0-OpenSSH_9.2\r\n"}],
    "never-ends": [{"send": "HTTP/1.1 200 OK\r\n"}, {"repeat": "X-Endless: a\r\n", "times": -1}],
    "drips": [{"drip": "HTTP/1.1 200 OK\r\n" + "X-Drip: a\r\n" * 50, "every": 0.05}],
    "leads-to-silence": [ESTABLISHED, {"hang": True}],
    "leads-to-a-reset": [ESTABLISHED, {"read": 1000}, {"reset": True}],
    "leads-to-plain-http": [ESTABLISHED, {"read": 1000}, {"send": "HTTP/1.1 200 OK\r\n\r\n"}],
}


@pytest.mark.parametrize("script", FAILING.values(), ids=FAILING.keys())
def test_it_takes_a_failing_proxy_for_a_provider_that_is_away(proxied: Proxied, script: list[Step]) -> None:
    """Nothing has reached the provider, so nothing is ambiguous."""
    proxied.proxy.script = script
    began = time.monotonic()
    failed = failure(proxied.guard(user="ada:CANARY-proxy@", seconds=0.5), f"https://{HOSTS[0]}/token")
    assert time.monotonic() - began < 1.5
    assert not failed.ambiguous
    assert "CANARY" not in str(failed) + repr(failed)
    assert proxied.proxy.connections == 1


def test_it_tells_a_proxy_no_more_than_an_address(proxied: Proxied) -> None:
    """Path and secrets are written within TLS alone."""
    proxied.proxy.script = [ESTABLISHED, {"read": 1000}]
    failure(proxied.guard(), f"https://{HOSTS[0]}/CANARY")
    connect, hello = proxied.proxy.requests
    assert hello.startswith(b"\x16\x03")
    assert b"CANARY" not in connect + hello
