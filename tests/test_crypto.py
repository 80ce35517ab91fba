"""Ciphertexts open where they belong and nowhere else."""

import base64

import pytest

from applinks import crypto
from applinks.crypto import BadKeysError, KeyRing, Place, UnreadableError

HERE = Place("connection", "1", "access_token")
ONE, TWO = "one:" + base64.b64encode(b"1" * 32).decode(), "two:" + base64.b64encode(b"2" * 32).decode()


@pytest.mark.parametrize("text", ["", "CANARY", "é 🔑", "x" * 16_384])
def test_it_opens_what_it_sealed(text: str) -> None:
    keys = KeyRing.parse(ONE)
    assert keys.open(keys.seal(text, HERE), HERE) == text


def test_it_seals_the_same_text_differently_each_time() -> None:
    keys = KeyRing.parse(ONE)
    assert len({keys.seal("CANARY", HERE) for _ in range(100)}) == 100


def test_it_writes_with_the_newest_key_and_reads_with_all() -> None:
    old = KeyRing.parse(ONE).seal("CANARY", HERE)
    both = KeyRing.parse(f"{TWO}\n{ONE}\n")
    assert both.open(old, HERE) == "CANARY"
    assert both.seal("CANARY", HERE).startswith("1.two.")
    with pytest.raises(UnreadableError):
        KeyRing.parse(TWO).open(old, HERE)


@pytest.mark.parametrize(
    "place",
    [
        Place("outgoing_link", "1", "access_token"),
        Place("connection", "2", "access_token"),
        Place("connection", "1", "x"),
    ],
)
def test_it_opens_nothing_that_was_moved(place: Place) -> None:
    """A089"""
    keys = KeyRing.parse(ONE)
    with pytest.raises(UnreadableError):
        keys.open(keys.seal("CANARY", HERE), place)


def test_it_opens_nothing_under_another_key_id() -> None:
    keys = KeyRing.parse(f"{ONE}\n{TWO}")
    with pytest.raises(UnreadableError):
        keys.open(keys.seal("CANARY", HERE).replace("1.one.", "1.two."), HERE)


def test_it_notices_every_changed_bit() -> None:
    """A088"""
    keys = KeyRing.parse(ONE)
    head, _, body = keys.seal("CANARY", HERE).rpartition(".")
    raw = base64.b64decode(body)
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnreadableError):
            keys.open(f"{head}.{base64.b64encode(bytes(changed)).decode()}", HERE)


@pytest.mark.parametrize("cut", range(1, 40))
def test_it_notices_a_shortened_ciphertext(cut: int) -> None:
    keys = KeyRing.parse(ONE)
    head, _, body = keys.seal("CANARY", HERE).rpartition(".")
    short = base64.b64encode(base64.b64decode(body)[:-cut]).decode()
    with pytest.raises(UnreadableError):
        keys.open(f"{head}.{short}", HERE)


@pytest.mark.parametrize("text", ["", "1", "1.one", "1.one.", "1.one.!", "2.one.AAAA", "1.nobody.AAAA", "plain text"])
def test_it_opens_nothing_else(text: str) -> None:
    with pytest.raises(UnreadableError):
        KeyRing.parse(ONE).open(text, HERE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "one",
        "one:",
        "one:!",
        ":" + ONE[4:],
        ONE[:-4],
        f"{ONE}\n{ONE}",
        "a b:" + ONE[4:],
        ONE.replace("one", "o.e"),
    ],
)
def test_it_refuses_what_is_no_keys_file(text: str) -> None:
    with pytest.raises(BadKeysError) as refused:
        KeyRing.parse(text)
    assert ONE[4:] not in str(refused.value)


def test_it_shows_no_key() -> None:
    assert repr(KeyRing.parse(ONE)) == "KeyRing(one)"


def test_it_derives_one_key_for_each_purpose() -> None:
    keys = KeyRing.parse(ONE)
    assert keys.derive("cookie") != keys.derive("consent")
    assert keys.derive("cookie") == KeyRing.parse(ONE).derive("cookie")
    newer, older = KeyRing.parse(f"{TWO}\n{ONE}").derive("cookie")
    assert [older] == keys.derive("cookie")
    assert newer != older


def test_it_makes_tokens_that_nobody_guesses() -> None:
    """A005, A118"""
    tokens = {crypto.new_token() for _ in range(10_000)}
    assert len(tokens) == 10_000
    assert {len(token) for token in tokens} == {43}


def test_it_hashes_passwords_by_argon2id_at_full_strength(password_hash: str) -> None:
    """A099"""
    assert password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert crypto.NOBODYS_PASSWORD.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


@pytest.mark.parametrize("hashed", ["", "x", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv"])
def test_it_matches_no_password_with_a_broken_hash(hashed: str) -> None:
    assert not crypto.password_matches("CANARY", hashed)
