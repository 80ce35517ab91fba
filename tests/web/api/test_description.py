"""The description and the code say the same."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.visitor import Visitor

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
EXAMPLES = 100  # of each operation; with those of the other phases more than 2,000
SECONDS = 240


@pytest.fixture
def described(stranger: Visitor) -> dict[str, Any]:
    answer = stranger.get("/api/v1/openapi.json")
    assert answer.status_code == 200
    return answer.json or {}


def test_it_is_a_valid_description(described: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(described).validate()


def test_it_describes_every_route_and_no_other(app: Flask, described: dict[str, Any]) -> None:
    """A150"""
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule.removeprefix("/api/v1")), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert routes == {(path, method) for path, of_path in described["paths"].items() for method in of_path}


@pytest.fixture
def served() -> Iterator[tuple[str, str]]:
    """The address and a key of an Applinks in a process of its own."""
    command = [sys.executable, "-m", "tests.web.api.fuzzed"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        address, key = process.stdout.readline().split()
        yield address, key
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_it_answers_a_fuzzer_as_described(served: tuple[str, str], tmp_path: Path) -> None:
    """A150: every check there is, of more than 2,000 requests."""
    address, key = served
    fuzzer = Path(sys.executable).with_name("schemathesis")
    # A connection has the same path when it is made anew, which changing a link without an account does.
    how = [
        "--exclude-checks",
        "use_after_free",
        "--checks",
        "all",
        "--max-examples",
        str(EXAMPLES),
        "--seed",
        "20261126",
        "--no-color",
    ]
    command = [fuzzer, "--config-file", HERE / "schemathesis.toml", "run", f"{address}/api/v1/openapi.json", *how]
    told = subprocess.run(
        [*command, "--header", f"Authorization: Bearer {key}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert told.returncode == 0, told.stdout[-8000:] + told.stderr
    generated = re.search(r"(\d+) generated", told.stdout)
    assert generated
    assert int(generated[1]) >= 2000, told.stdout[-2000:]
