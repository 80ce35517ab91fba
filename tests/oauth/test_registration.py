"""The fields of a link: what is accepted, and in which form it is kept."""

from collections.abc import Callable

import pytest

from applinks.errors import InvalidFieldError
from applinks.oauth import registration as rules
from applinks.oauth.guard import Guard
from applinks.providers import CATALOGUE
from applinks.providers.places import fits

GUID = "72f988bf-86f1-41af-91ab-2d7cd011db47"


def read_tenant(text: str) -> str:
    return rules.read_endpoint_field(Guard(loopback=False), CATALOGUE["microsoft"], "tenant", text)


@pytest.mark.parametrize(
    "text", ["common", "organizations", "consumers", GUID, GUID.upper(), " contoso.com ", "a.b-c.example"]
)
def test_it_accepts_a_tenant(text: str) -> None:
    assert read_tenant(text) == text.strip().lower()


@pytest.mark.parametrize(
    "text",
    ["", "contoso", "common/evil", "../common", "common?x=1", "common#", "a.example/x", "evil@a.example", "a..example"]
    + [GUID[:-1], GUID + "0", "{" + GUID + "}", "a.example:443", "a b.example", "é.example", "a.example.", "x" * 254]
    + ["-a.example", "a.example\n", "%2e%2e", "1.2.3.4"],
)
def test_it_accepts_nothing_else_as_a_tenant(text: str) -> None:
    if not text.endswith("\n"):
        with pytest.raises(InvalidFieldError):
            read_tenant(text)
    assert not fits("tenant", text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Payroll ", "Payroll"),
        ("Pay  roll", "Pay roll"),
        ("Müller 🔑", "Müller 🔑"),
        ("é", "é"),
        ("x" * 100, "x" * 100),
    ],
)
def test_it_accepts_a_name(text: str, name: str) -> None:
    assert rules.read_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x" * 101,
        "a\x00b",
        "a\nb",
        "a\u202eb",
        "a\u200bb",
        "a\ufeffb",
        "\x1b[31m",
        "a\u2028b",
        "\u3164",
        "\u2800 \u115f",
        "\u0301",
    ],
)
def test_it_refuses_a_name_with_what_nobody_sees(text: str) -> None:
    """A180"""
    with pytest.raises(InvalidFieldError):
        rules.read_name(text)


def test_it_knows_names_that_look_the_same() -> None:
    assert rules.name_key("\uff30ayroll") == rules.name_key("payroll")


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (rules.read_client_id, "4711.apps.example.com"),
        (rules.read_client_id, "a:b c+%&="),
        (lambda text: rules.read_client_secret(text, needed=True) or "", "CANARY ~!$'"),
        (rules.read_label, "sales-team"),
    ],
)
def test_it_accepts_credentials_and_labels(read: Callable[[str], str], text: str) -> None:
    assert read(f" {text}\n") == text


@pytest.mark.parametrize("text", ["", " ", "é", "a\x00", "a\tb", "x" * 513])
def test_it_refuses_what_is_no_client_id(text: str) -> None:
    with pytest.raises(InvalidFieldError):
        rules.read_client_id(text)


@pytest.mark.parametrize("text", ["", " ", "é", "a\x00", "a\nb", "x" * 4097])
def test_it_refuses_what_is_no_client_secret(text: str) -> None:
    with pytest.raises(InvalidFieldError):
        rules.read_client_secret(text, needed=True)


def test_it_keeps_the_stored_secret_where_none_is_typed() -> None:
    assert rules.read_client_secret("", needed=False) is None


@pytest.mark.parametrize("text", ["", "-a", "a-", "a b", "é", "a_b", "x" * 61, "../a", "a/b"])
def test_it_refuses_what_is_no_label(text: str) -> None:
    with pytest.raises(InvalidFieldError):
        rules.read_label(text)


@pytest.mark.parametrize(
    ("text", "scopes"), [("", ""), (" a  b\na ", "a b"), ("https://a.example/x.read", "https://a.example/x.read")]
)
def test_it_reads_scopes(text: str, scopes: str) -> None:
    assert rules.read_scopes(text) == scopes


@pytest.mark.parametrize("text", ['a"b', "a\\b", "é", "a\x7f", "a\x00", " ".join(map(str, range(101))), "x" * 4097])
def test_it_refuses_what_is_no_scope(text: str) -> None:
    """A178"""
    with pytest.raises(InvalidFieldError):
        rules.read_scopes(text)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Payroll", "payroll"),
        ("Müller & Söhne", "muller-sohne"),
        ("日本", "link"),
        ("--", "link"),
        ("New", "new"),
        ("x" * 99, "x" * 50),
    ],
)
def test_it_makes_a_slug_of_a_name(name: str, slug: str) -> None:
    assert rules.slug_of(name) == slug
