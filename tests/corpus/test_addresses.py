"""Every kind of address, judged by itself and by the guard before anything is sent.

What is public is only judged here, never called: a socket of these tests reaches loopback alone.
"""

import ipaddress
import random
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import perf_counter

import pytest
import requests

from applinks.oauth.addresses import Kind, kind_of
from applinks.oauth.guard import AddressRefusedError, Guard
from applinks.settings import Network
from tests.corpus.cases import Case, case_id, load

SETTING = "APPLINKS_ALLOWED_NETWORKS"
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))
CASES = load("addresses")
JUDGED = [case for case in CASES if case.expected in set(Kind)]
ASKED = [case for case in CASES if case.expected in ("called", "refused")]
REFUSED = [case for case in CASES if case.expected not in ("called", Kind.PUBLIC)]

Address = IPv4Address | IPv6Address


@pytest.fixture(autouse=True)
def connected_to(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where sockets were to be connected; only loopback really is."""
    asked: list[str] = []

    def recorded(connect: Callable[..., int | None]) -> Callable[..., int | None]:
        def instead(self: socket.socket, to: tuple[str, int]) -> int | None:
            asked.append(to[0])
            assert to[0] in ("127.0.0.1", "::1"), f"a test must not call {to[0]}"
            return connect(self, to)

        return instead

    monkeypatch.setattr(socket.socket, "connect", recorded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", recorded(socket.socket.connect_ex))
    return asked


def guard_of(*addresses: str, loopback: bool = False, allowed: tuple[Network, ...] = ()) -> Guard:
    """A guard whose name service knows one answer."""
    return Guard(loopback=loopback, allowed_networks=allowed, resolve=lambda host: list(addresses), seconds=1.0)


def guard_for(case: Case) -> Guard:
    """The guard that a case's settings make."""
    allowed = tuple(map(ip_network, case.input.get("allowed", ())))
    return guard_of(case.input["address"], loopback=case.input.get("base") == "loopback", allowed=allowed)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(AddressRefusedError) as refused:
        call()
    return str(refused.value)


def spellings(text: str) -> set[str]:
    """How a sentence may write an address: as the name service did, shortened, or the one that is embedded."""
    address = ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return {text, str(address), str(ip_address(text.partition("%")[0])), str(mapped or address)}


def test_it_has_the_cases_it_promises() -> None:
    assert len(CASES) >= 120
    assert len(JUDGED) + len(ASKED) == len(CASES)
    assert {case.expected for case in JUDGED} == set(Kind)


@pytest.mark.parametrize("case", JUDGED, ids=case_id)
def test_it_knows_the_kind_of_an_address(case: Case) -> None:
    """A079, F17"""
    assert kind_of(ip_address(case.input["address"])) is Kind(case.expected), case.why


@pytest.mark.parametrize("case", JUDGED, ids=case_id)
def test_it_calls_a_public_address_alone(case: Case) -> None:
    """A public base URL and no setting: the sentence names the address, and the setting where that one helps."""
    text = case.input["address"]
    if case.expected == Kind.PUBLIC:
        assert len(guard_for(case).addresses("a.example")) == 1
        return
    sentence = refusal(lambda: guard_for(case).addresses("a.example"))
    assert any(spelling in sentence for spelling in spellings(text)), sentence
    assert (SETTING in sentence) == (case.expected == Kind.PRIVATE), sentence


@pytest.mark.parametrize("case", JUDGED, ids=case_id)
def test_it_lets_a_setting_open_private_networks_and_nothing_else(case: Case) -> None:
    """A080: everything is named here."""
    guard = guard_of(case.input["address"], allowed=EVERYTHING)
    if case.expected in (Kind.PUBLIC, Kind.PRIVATE):
        assert len(guard.addresses("a.example")) == 1
    else:
        assert SETTING not in refusal(lambda: guard.addresses("a.example")), case.why


@pytest.mark.parametrize("case", JUDGED, ids=case_id)
def test_it_opens_loopback_for_an_applinks_on_loopback_and_nothing_else(case: Case) -> None:
    guard = guard_of(case.input["address"], loopback=True)
    if case.expected in (Kind.PUBLIC, Kind.LOOPBACK):
        assert len(guard.addresses("a.example")) == 1
    else:
        refusal(lambda: guard.addresses("a.example"))


@pytest.mark.parametrize("case", ASKED, ids=case_id)
def test_it_obeys_the_operators_settings(case: Case) -> None:
    """A080"""
    guard, text = guard_for(case), case.input["address"]
    if case.expected == "called":
        (address,) = guard.addresses("a.example")
        assert str(address) in spellings(text), case.why
        return
    sentence = refusal(lambda: guard.addresses("a.example"))
    assert any(spelling in sentence for spelling in spellings(text)), sentence
    assert (SETTING in sentence) == (case.details.get("says") == SETTING), sentence


@pytest.mark.parametrize("case", REFUSED, ids=case_id)
def test_it_sends_no_packet_to_what_it_refuses(case: Case, connected_to: list[str]) -> None:
    """A081: neither for a name that leads there nor for the address in the URL."""
    text = case.input["address"]
    host = f"[{text.partition('%')[0]}]" if ":" in text else text
    with requests.Session() as session:
        guard_for(case).protect(session)
        for url in ("https://a.example/token", f"https://{host}/token"):
            refusal(lambda url=url: session.post(url, data={"code": "CANARY"}))
    assert connected_to == []


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("forbidden", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "64:ff9b::a00:1"])
def test_it_refuses_a_name_for_one_forbidden_address(position: int, forbidden: str, connected_to: list[str]) -> None:
    """A078: first, last or in the midst."""
    found = ["8.8.8.8", "2001:4860:4860::8888", "1.1.1.1", "9.9.9.9"]
    found.insert(position, forbidden)
    guard = guard_of(*found)
    assert forbidden in refusal(lambda: guard.addresses("a.example"))
    with requests.Session() as session:
        guard.protect(session)
        refusal(lambda: session.get("https://a.example/token"))
    assert connected_to == []


def test_it_hands_on_every_address_of_a_good_name() -> None:
    found = guard_of("8.8.8.8", "2001:4860:4860::8888").addresses("a.example")
    assert {str(address) for address in found} == {"8.8.8.8", "2001:4860:4860::8888"}


class Ports:
    """Three ports of this machine: one is listened at, one is not, and one lets every caller wait."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        with socket.create_server(("127.0.0.1", 0)) as gone:
            closed: int = gone.getsockname()[1]
        self._full = socket.create_server(("127.0.0.1", 0), backlog=0)
        filtered: int = self._full.getsockname()[1]
        # A queue that is full throws the next packets away, as a firewall does.
        self._waiting = [socket.socket() for _ in range(3)]
        for caller in self._waiting:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", filtered))
        self.numbers = {"open": self.listener.getsockname()[1], "closed": closed, "filtered": filtered}

    def close(self) -> None:
        for used in (self.listener, self._full, *self._waiting):
            used.close()


@pytest.fixture
def ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    ports.close()


def test_it_has_a_port_that_lets_callers_wait(ports: Ports) -> None:
    """Else the next test would prove nothing."""
    with socket.socket() as caller:
        caller.settimeout(0.3)
        with pytest.raises(TimeoutError):
            caller.connect(("127.0.0.1", ports.numbers["filtered"]))


@pytest.mark.parametrize("host", ["a.example", "127.0.0.1"])
def test_it_says_the_same_of_open_closed_and_filtered_ports(ports: Ports, host: str, connected_to: list[str]) -> None:
    """A082: no oracle of what listens inside, neither by words nor by time."""
    said: set[str] = set()
    took: dict[str, float] = {}
    with requests.Session() as session:
        guard_of("127.0.0.1").protect(session)
        connected_to.clear()
        for _ in range(5):
            for state, port in ports.numbers.items():
                begun = perf_counter()
                said.add(refusal(lambda port=port: session.get(f"https://{host}:{port}/token")))
                took[state] = min(perf_counter() - begun, took.get(state, 1.0))
    assert len(said) == 1
    assert connected_to == []
    assert max(took.values()) < 0.25, took  # a port that lets callers wait would take the whole second
    with pytest.raises(BlockingIOError):
        ports.listener.accept()


def test_it_says_the_same_of_a_name_that_is_forbidden_on_every_port() -> None:
    """No word about the port: a private network can't be mapped."""
    with requests.Session() as session:
        guard_of("10.0.0.1").protect(session)
        ports = (80, 443, 8080, 8443, 9200)
        said = {refusal(lambda port=port: session.get(f"https://a.example:{port}/token")) for port in ports}
    assert len(said) == 1


def python_special_networks() -> list[IPv4Network | IPv6Network]:
    """All that Python's own module holds for special; its lists differ from one release to the next."""
    constants = [vars(family._constants) for family in (IPv4Address, IPv6Address)]  # type: ignore[attr-defined]
    found: list[IPv4Network | IPv6Network] = []
    for value in (value for members in constants for value in members.values()):
        for network in value if isinstance(value, list) else [value]:
            if isinstance(network, IPv4Network | IPv6Network):
                found.append(network)
    return found


def test_it_knows_pythons_lists() -> None:
    assert len(python_special_networks()) > 40


@pytest.mark.parametrize("network", sorted({*map(str, python_special_networks())}))
def test_it_takes_nothing_special_to_python_for_public(network: str) -> None:
    block = ipaddress.ip_network(network)
    for address in (block[0], block[-1]):
        assert kind_of(address) is not Kind.PUBLIC, address


def is_special(address: Address) -> bool:
    return (
        not address.is_global
        or address.is_private
        or address.is_reserved
        or address.is_multicast
        or address.is_link_local
        or address.is_loopback
        or address.is_unspecified
    )


def embeds_public(address: Address) -> bool:
    """The two notations that Python calls special as a whole, and that we judge by what is in them."""
    mapped, nat64 = ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96")
    return address in mapped or address in nat64


def test_it_is_nowhere_laxer_than_python() -> None:
    """Over addresses drawn from all of IPv4 and from the head of IPv6, where nearly every block is."""
    draw = random.Random(3)
    drawn: list[Address] = [IPv4Address(draw.getrandbits(32)) for _ in range(4000)]
    drawn += [IPv6Address(draw.getrandbits(128)) for _ in range(2000)]
    drawn += [IPv6Address((0x2001 << 112) | draw.getrandbits(25) << 87 | draw.getrandbits(87)) for _ in range(2000)]
    for address in drawn:
        if is_special(address) and not embeds_public(address):
            assert kind_of(address) is not Kind.PUBLIC, address
