"""Settings: right ones are read once, a wrong one stops the start with one line."""

from pathlib import Path

import pytest

from applinks import create_app
from applinks.errors import StartRefusedError
from applinks.settings import read_settings


def test_it_has_sensible_defaults() -> None:
    settings = read_settings({})
    assert settings.base_url == "http://127.0.0.1:5000"
    assert (settings.host, settings.port) == ("127.0.0.1", 5000)
    assert settings.keys_file == settings.data_dir / "keys"
    assert settings.loopback
    assert settings.allowed_networks == settings.trusted_proxies == ()


def test_it_keeps_the_demo_apart() -> None:
    assert read_settings({}, demo=True).data_dir == read_settings({}).data_dir / "demo"


@pytest.mark.parametrize(
    ("given", "base_url", "cookie"),
    [
        ("https://links.example.com/", "https://links.example.com", "__Host-applinks"),
        ("https://links.example.com:443", "https://links.example.com", "__Host-applinks"),
        ("https://links.example.com:8443", "https://links.example.com:8443", "__Host-applinks"),
        ("http://localhost:8000", "http://localhost:8000", "applinks-8000"),
        ("http://[::1]:8000", "http://[::1]:8000", "applinks-8000"),
        ("http://127.0.0.1:80", "http://127.0.0.1", "applinks-80"),
    ],
)
def test_it_reads_the_base_url(given: str, base_url: str, cookie: str) -> None:
    settings = read_settings({"APPLINKS_BASE_URL": given})
    assert settings.base_url == base_url
    assert settings.cookie_name == cookie


@pytest.mark.parametrize(
    "given",
    [
        "x",
        "links.example.com",
        "ftp://links.example.com",
        "https://",
        "https://a.example/path",
        "https://a.example?x",
        "//a",
    ]
    + [
        "http://links.example.com",
        "http://10.0.0.1",
        "https://user@a.example",
        "https://a.example#x",
        "https://A b.example",
    ]
    + ["https://a.example:99999", "https://a.example:x", "javascript:alert(1)", "https://[::1"],
)
def test_it_refuses_another_base_url(given: str) -> None:
    """A189"""
    with pytest.raises(StartRefusedError, match="APPLINKS_BASE_URL"):
        read_settings({"APPLINKS_BASE_URL": given})


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "80.5", "\uff15\uff10\uff10\uff10", "1e3"])
def test_it_refuses_another_port(port: str) -> None:
    with pytest.raises(StartRefusedError, match="APPLINKS_PORT"):
        read_settings({"APPLINKS_PORT": port})


@pytest.mark.parametrize("name", ["APPLINKS_ALLOWED_NETWORKS", "APPLINKS_TRUSTED_PROXIES"])
@pytest.mark.parametrize("text", ["x", "10.1.2.3/8", "10.0.0.0/33", "10.0.0.0/8;x", "*"])
def test_it_refuses_what_is_no_network(name: str, text: str) -> None:
    with pytest.raises(StartRefusedError, match=name):
        read_settings({name: text})


def test_it_reads_networks() -> None:
    settings = read_settings({"APPLINKS_ALLOWED_NETWORKS": "10.0.0.0/8, fd00::/8 192.168.1.1"})
    assert [str(network) for network in settings.allowed_networks] == ["10.0.0.0/8", "fd00::/8", "192.168.1.1/32"]


@pytest.mark.parametrize("name", ["APPLINKS_BASEURL", "APPLINKS_SECRET_KEY", "APPLINKS_"])
def test_it_refuses_a_name_that_it_does_not_know(name: str) -> None:
    with pytest.raises(StartRefusedError, match="is no setting of Applinks"):
        read_settings({name: "x"})


@pytest.mark.parametrize("name", ["OAUTHLIB_INSECURE_TRANSPORT", "OAUTHLIB_RELAX_TOKEN_SCOPE", "FLASK_DEBUG"])
def test_it_refuses_to_start_without_its_protections(name: str) -> None:
    """F16, A177"""
    with pytest.raises(StartRefusedError, match=name):
        read_settings({name: "1"})


@pytest.mark.parametrize("text", ["http://proxy.corp.example:3128", "http://ada:CANARY@10.0.0.1", "http://[::1]:8080/"])
def test_it_reads_a_proxy_and_never_shows_it(text: str, tmp_path: Path) -> None:
    """A053: a password may stand in it, so it may stand in a file."""
    file = tmp_path / "proxy"
    file.write_text(f"{text}\n")
    for environ in ({"APPLINKS_HTTPS_PROXY": text}, {"APPLINKS_HTTPS_PROXY_FILE": str(file)}):
        settings = read_settings(environ)
        assert settings.https_proxy == text
        assert text not in repr(settings)


@pytest.mark.parametrize(
    "text",
    ["proxy.corp.example:3128", "https://p.example", "socks5://p.example", "http://", "http://a:CANARY@", "x"]
    + ["http://a b:3128", "http://-p.example", "http://ada@", "http://p.example:0", "http://[::1"]
    + ["http://p.example/path", "http://p.example?CANARY", "http://p.example:99999", "http://p.example\r\nX: CANARY"],
)
def test_it_refuses_what_is_no_proxy_without_repeating_it(text: str) -> None:
    with pytest.raises(StartRefusedError, match="APPLINKS_HTTPS_PROXY") as refused:
        read_settings({"APPLINKS_HTTPS_PROXY": text})
    assert "CANARY" not in str(refused.value)


def test_it_refuses_a_file_of_a_secret_that_is_not_there() -> None:
    with pytest.raises(StartRefusedError, match="APPLINKS_HTTPS_PROXY_FILE"):
        read_settings({"APPLINKS_HTTPS_PROXY_FILE": "/nowhere/proxy"})


def test_it_refuses_a_secret_that_is_there_twice_or_not_at_all(tmp_path: Path) -> None:
    """Not to go by the proxy would be worse than not to start."""
    file = tmp_path / "proxy"
    file.write_text(" \n")
    with pytest.raises(StartRefusedError, match="is empty"):
        read_settings({"APPLINKS_HTTPS_PROXY_FILE": str(file)})
    with pytest.raises(StartRefusedError, match="both set"):
        read_settings({"APPLINKS_HTTPS_PROXY_FILE": str(file), "APPLINKS_HTTPS_PROXY": "http://CANARY"})


@pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_it_refuses_a_ca_file_that_holds_no_certificates(content: str | None, tmp_path: Path) -> None:
    """A052: it stops the start, before anything is stored."""
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    environ = {"APPLINKS_CA_FILE": str(file), "APPLINKS_DATA_DIR": str(tmp_path / "data")}
    with pytest.raises(StartRefusedError, match="APPLINKS_CA_FILE") as refused:
        create_app(read_settings(environ))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "data").exists()
