"""Hosts, paths, realms: what passes, and that nothing else becomes part of an address."""

import pytest

from applinks.errors import InvalidFieldError
from applinks.providers import CATALOGUE

GOOD = {
    "host": ["id.corp.example", "ID.corp.example", "id.corp.example:8443", "192.0.2.1", "192.0.2.1:1", "a.bc:65535"],
    "path": ["", "/", "auth", "/auth", "/a/b.c/d-e_~/", "/..a"],
    "realm": ["master", "Staff-2", "a.b_c"],
    "authorization_server": ["", "default", "aus1a2b3c4d5E6F7g8h9"],
}
BAD = {
    "host": [
        "",
        "https://id.corp.example",
        "id.corp.example/x",
        "a@id.corp.example",
        "id.corp.example:0",
        "id..example",
    ]
    + ["id.corp.example:65536", "id.corp.example:", "id_corp.example", "-a.example", "256.1.1.1", "[::1]", "localhost"]
    + ["id.corp.example?x", "id.corp.example#x", "é.example", "id.corp.example\\x", "{path}.example", "a b.example"]
    + ["x" * 260, "id.corp.example%2fx", "1.2.3", "a." * 130 + "example"],
    "path": ["..", "/a/../b", "a//b", "/a?x", "/a#x", "a b", "a%2fb", "/é", "/{realm}", "a/b/c/d/e/f", "/.", "/a/.."]
    + ["x" * 201, "\\a", "@evil.example"],
    "realm": ["", "..", ".", "a/b", "a b", "a?b", "a#b", "é", "x" * 81, "{host}", "a%20b", "/master"],
    "authorization_server": ["a/b", "..", "a b", "a.b", "é", "x" * 81, "?x", "v1/token?x="],
}
READERS = {"host": "keycloak", "path": "keycloak", "realm": "keycloak", "authorization_server": "okta"}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_it_takes_a_place(name: str, text: str) -> None:
    place = CATALOGUE[READERS[name]].place(name)
    assert place
    filled = place.fill(f"https://x{{{name}}}", {name: place.read(text)})
    assert "{" not in filled
    assert "//" not in filled.removeprefix("https://")


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_it_takes_nothing_else_for_one(name: str, text: str) -> None:
    place = CATALOGUE[READERS[name]].place(name)
    assert place
    with pytest.raises(InvalidFieldError) as raised:
        place.read(text)
    assert (raised.value.field, str(raised.value)) == (name, place.wrong)


@pytest.mark.parametrize("cloud", ["germany", "global.evil.example", "login"])
def test_it_knows_three_clouds(cloud: str) -> None:
    place = CATALOGUE["microsoft"].place("cloud")
    assert place
    with pytest.raises(InvalidFieldError):
        place.read(cloud)
