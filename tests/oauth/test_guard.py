"""Which addresses may be called: at the field, and again at every use."""

from ipaddress import ip_network
from pathlib import Path

import pytest
import requests

from applinks.oauth.guard import AddressRefusedError, CallFailedError, Guard
from tests.standin import StandIn, raw_answer

ON_LOOPBACK = Guard(loopback=True)
PUBLIC = Guard(loopback=False)
NETWORKS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def resolving(*addresses: str, loopback: bool = False) -> Guard:
    return Guard(loopback=loopback, resolve=lambda host: addresses)


@pytest.mark.parametrize(
    "url",
    [
        "https://auth.example.com/authorize",
        "https://auth.example.com:8443/a?tenant=x",
        "https://8.8.8.8/token",
        "https://[2001:4860:4860::8888]/token",
        "https://under_score.example.com/",
    ],
)
def test_it_accepts_an_https_address(url: str) -> None:
    assert PUBLIC.endpoint(url) == url


def test_it_writes_a_foreign_host_in_ascii() -> None:
    assert PUBLIC.endpoint("https://bücher.example/a") == "https://xn--bcher-kva.example/a"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/token", "http://localhost/token", "http://[::1]:1234/"])
def test_it_accepts_http_between_loopback_addresses(url: str) -> None:
    assert ON_LOOPBACK.endpoint(url) == url
    with pytest.raises(AddressRefusedError):
        PUBLIC.endpoint(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "//a.example",
        "https://",
        "https:///a",
        "https://a.example:99999/",
        "https://[::1",
        "https://a b.example/",
    ]
    + [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://a.example/",
        "gopher://a.example/",
        "ws://a/",
    ]
    + ["http://a.example/", "https://user@a.example/", "https://user:pass@a.example/", "https://a.example/#x"]
    + ["https://a.example/\r\nX: y", "https://a.example/\t", "https://a.example\\@b.example/", "https://a.example/<x>"]
    + ["https://a.example/é", "https://a..example/", "https://-a.example/", "https://.example/", "https://ex*mple.com/"]
    + ["https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://①②⑦.⓪.⓪.①/"]
    + ["https://a.example:22/", "https://a.example:25/", "https://a.example:6379/", "https://a.example:0/"]
    + ["https://" + "a" * 64 + ".example/", "https://" + "a." * 130 + "example/", "https://a.example/" + "x" * 2048]
    + ["https://a.example/?%63lient_id=x", "https://a.example/?x=1&redirect%5Furi=x", "https://a.example/?+state=x"]
    + ["https://[v1.x]/"]
    + ["https://[fe80::1%25eth0]/", "https://%31%32%37.0.0.1/", "https://xn--/"],
)
def test_it_refuses_what_is_no_endpoint(url: str) -> None:
    """A077"""
    with pytest.raises(AddressRefusedError):
        PUBLIC.endpoint(url)
    with pytest.raises(AddressRefusedError):
        ON_LOOPBACK.endpoint(url)


@pytest.mark.parametrize(
    "name", ["response_type", "client_id", "state", "redirect_uri", "scope", "code_challenge", "STATE"]
)
def test_it_refuses_an_endpoint_that_sends_what_we_send(name: str) -> None:
    """F13, A028"""
    with pytest.raises(AddressRefusedError, match="Leave"):
        PUBLIC.endpoint(f"https://a.example/?x=1&{name}=evil")


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "224.0.0.1"]
    + ["255.255.255.255", "fe80::1", "fd00:ec2::254", "ff02::1", "::", "fec0::1", "::ffff:169.254.169.254"],
)
def test_it_never_calls_metadata_or_link_local_addresses(address: str) -> None:
    """A079, A080: not even where a network around them is allowed."""
    wide = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    guard = Guard(loopback=True, allowed_networks=wide, resolve=lambda host: [address])
    with pytest.raises(AddressRefusedError, match="never calls"):
        guard.addresses("a.example")


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "fd12::1", "fc00::1", "::ffff:10.0.0.1"],
)
def test_it_calls_private_networks_only_when_they_are_named(address: str) -> None:
    with pytest.raises(AddressRefusedError, match="APPLINKS_ALLOWED_NETWORKS="):
        resolving(address).addresses("a.example")


@pytest.mark.parametrize("address", ["10.1.2.3", "fd12::1", "::ffff:10.1.2.3"])
def test_it_calls_a_private_network_that_is_named(address: str) -> None:
    guard = Guard(loopback=False, allowed_networks=NETWORKS, resolve=lambda host: [address])
    assert [str(found) for found in guard.addresses("a.example")] == [address.removeprefix("::ffff:")]


def test_it_says_how_to_allow_a_private_address() -> None:
    with pytest.raises(AddressRefusedError) as refused:
        resolving("10.1.2.3").addresses("auth.corp.example")
    assert str(refused.value) == (
        "auth.corp.example resolves to 10.1.2.3, a private address. "
        "To allow it, start Applinks with APPLINKS_ALLOWED_NETWORKS=10.1.0.0/16."
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_it_calls_loopback_only_from_loopback(address: str) -> None:
    resolving(address, loopback=True).addresses("a.example")
    with pytest.raises(AddressRefusedError, match="loopback"):
        resolving(address).addresses("a.example")


@pytest.mark.parametrize(
    "addresses", [("8.8.8.8", "127.0.0.1"), ("10.0.0.1", "8.8.8.8"), ("8.8.8.8", "169.254.169.254")]
)
def test_it_checks_every_address(addresses: tuple[str, ...]) -> None:
    """A078"""
    with pytest.raises(AddressRefusedError):
        resolving(*addresses).addresses("a.example")


@pytest.mark.parametrize("literal", ["10.0.0.1", "169.254.169.254", "127.0.0.1", "[::1]", "[fd00:ec2::254]"])
def test_it_refuses_a_forbidden_literal_at_the_field_already(literal: str) -> None:
    with pytest.raises(AddressRefusedError):
        PUBLIC.endpoint(f"https://{literal}/token")


def test_it_tells_a_name_that_does_not_resolve_from_a_forbidden_one() -> None:
    def fails(host: str) -> list[str]:
        raise OSError

    with pytest.raises(CallFailedError, match="can't be resolved"):
        Guard(loopback=False, resolve=fails).addresses("nowhere.example")


@pytest.fixture
def session() -> requests.Session:
    session = requests.Session()
    ON_LOOPBACK.protect(session)
    return session


def test_it_checks_at_every_call(provider: StandIn) -> None:
    """A081: allowed yesterday, forbidden today, and no packet is sent."""
    session = requests.Session()
    PUBLIC.protect(session)
    with pytest.raises(AddressRefusedError):
        session.get(f"{provider.base_url}/token")
    assert not provider.asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_it_follows_no_redirect(session: requests.Session, provider: StandIn, status: int) -> None:
    """F2, A045"""
    provider.answer(raw_answer("", status, Location=f"{provider.base_url}/elsewhere"))
    assert session.post(f"{provider.base_url}/token", data={"code": "CANARY"}).status_code == status
    assert [asked.path for asked in provider.asked] == ["/token"]


def test_it_ignores_proxies_and_netrc_of_the_environment(
    session: requests.Session, provider: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A053"""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login CANARY password CANARY")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert session.get(f"{provider.base_url}/userinfo").status_code == 200
    assert "Authorization" not in provider.asked[0].headers


def test_it_asks_for_no_compression(session: requests.Session, provider: StandIn) -> None:
    session.get(f"{provider.base_url}/userinfo")
    assert provider.asked[0].headers["Accept-Encoding"] == "identity"
