"""Commands, run in this process on the data of the tests' application, by today's clock."""

import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from flask import Flask

from applinks.cli import main
from applinks.models import database
from tests.conftest import Clock


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def clock() -> Clock:
    return Clock(int(time.time()))


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(
    app: Flask, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command as somebody at the console does; `typed` is its standard input, `at_terminal` a person's."""

    def run(*arguments: str, typed: str = "", at_terminal: bool = False, **settings: str) -> Said:
        monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT", raising=False)  # set by an application in this process
        for name, value in (environ | settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", _Terminal(typed) if at_terminal else io.StringIO(typed))
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as usage:  # as argparse ends
            status = int(usage.code or 0)
        said = capsys.readouterr()
        database.close()
        return Said(status, said.out, said.err)

    return run
