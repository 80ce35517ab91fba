"""The list: pages along an index, and searching by how words begin."""

import gzip
import re
from collections.abc import Callable

import pytest

from applinks.crypto import new_id
from applinks.models import LinkWord
from applinks.services.links import PAGE
from applinks.wiring import Services
from tests.conftest import Clock
from tests.visitor import Visitor, text_of

Make = Callable[..., None]


@pytest.fixture
def make(services: Services, clock: Clock) -> Make:
    """Links of these names."""

    def links(*names: str) -> None:
        for name in names:
            services.incoming.add(
                name, client_id=new_id(), client_secret_digest="0", redirect_uris="", scopes="", life=60
            )

    return links


def names(services: Services, search: str = "") -> list[str]:
    """Every page after the other."""
    found, after = [], ""
    while True:
        page = services.links.page(search, after)
        found += [row.link.name for row in page.rows]
        assert len(page.rows) <= PAGE
        after = page.after
        if not after:
            return found


def test_it_pages_through_every_link_once(services: Services, make: Make) -> None:
    wanted = [f"Link {number:03}" for number in range(2 * PAGE + 1)]
    make(*reversed(wanted))
    assert names(services) == wanted


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("pay", ["Pay and Pension", "Team Payroll"]),
        ("PAYROLL team", ["Team Payroll"]),
        ("pen pay", ["Pay and Pension"]),
        ("straß", ["Straße 7"]),
        ("7", ["Straße 7"]),
        ("ayroll", []),
        ("pay nobody", []),
        ("pay%", ["Pay and Pension", "Team Payroll"]),
        ("_ay", []),
        ("p" * 200, []),
    ],
)
def test_it_finds_names_by_how_their_words_begin(services: Services, make: Make, search: str, found: list[str]) -> None:
    make("Team Payroll", "Pay and Pension", "Straße 7", "Zoo")
    assert names(services, search) == found


def test_it_finds_each_link_once_however_many_words_match(services: Services, make: Make) -> None:
    wanted = [f"pay payroll {number:03}" for number in range(PAGE + 5)]
    make(*wanted)
    assert names(services, "pay") == wanted


def test_it_follows_a_new_name(ada: Visitor, services: Services, link_id: str, link_form: dict[str, str]) -> None:
    changed = link_form | {"name": "Books", "version": "1", "client_secret": ""}
    assert ada.post("/links/payroll/edit", changed).status_code == 303
    assert (names(services, "pay"), names(services, "boo")) == ([], ["Books"])
    ada.post("/links/payroll/delete")
    assert not LinkWord.select().exists()


def test_it_shows_more_on_request_without_scripts(ada: Visitor, make: Make) -> None:
    make(*(f"Link {number:03}" for number in range(PAGE + 1)))
    first = ada.get("/links")
    assert f"Link {PAGE:03}" not in text_of(first)
    more = re.search(r'<a class="button secondary" href="([^"]+)" data-hx-get', first.text)
    assert more
    second = ada.get(more[1].replace("&amp;", "&"))
    assert f"Link {PAGE:03}" in text_of(second)
    assert "Show more" not in text_of(second)


def test_it_says_so_where_nothing_is_found(ada: Visitor, make: Make) -> None:
    make("Payroll")
    page = ada.get("/links?q=nobody")
    assert "No link's name has a word that begins like this." in text_of(page)
    assert 'value="nobody"' in page.text


def test_it_swaps_rows_that_hold_no_token_and_are_compressed(ada: Visitor, link_id: str) -> None:
    headers = {"HX-Request": "true", "Accept-Encoding": "gzip"}
    answer = ada.get("/links?q=pay", headers=headers)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["Vary"]
    rows = gzip.decompress(answer.data).decode()
    assert "Payroll" in rows
    assert "csrf" not in rows
    assert "Content-Encoding" not in ada.get("/links?q=pay", headers={"HX-Request": "true"}).headers
    assert "Content-Encoding" not in ada.get("/links?q=pay", headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize("query", ["after=%00", "after=" + "x" * 5000, "q=%ff", "q=%F0%9F%92%A9", "after=%20"])
def test_it_takes_any_query_calmly(ada: Visitor, make: Make, query: str) -> None:
    make("Payroll")
    assert ada.get(f"/links?{query}").status_code in (200, 400)
