"""Whose lease it is: the death of a process shows, however it dies."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from applinks.services.owner import Owner

PROGRAM = """
import sys
from pathlib import Path
from applinks.services.owner import Owner
owner = Owner(Path(sys.argv[1]))
print(owner.new_lease(), flush=True)
sys.stdin.read()
owner.leave()
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path)
    yield owner
    owner.leave()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds a lease."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def lease_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_it_knows_that_a_process_was_killed(here: Owner, elsewhere: subprocess.Popen[str]) -> None:
    lease = lease_of(elsewhere)
    assert not here.has_died(lease)
    elsewhere.send_signal(signal.SIGKILL)
    elsewhere.wait()
    assert here.has_died(lease)


def test_it_takes_one_that_stands_still_for_alive(here: Owner, elsewhere: subprocess.Popen[str]) -> None:
    """A061: only its lease ends."""
    lease = lease_of(elsewhere)
    elsewhere.send_signal(signal.SIGSTOP)
    assert not here.has_died(lease)
    elsewhere.send_signal(signal.SIGCONT)


def test_it_leaves_nothing_behind(here: Owner, elsewhere: subprocess.Popen[str], tmp_path: Path) -> None:
    lease = lease_of(elsewhere)
    assert elsewhere.stdin
    elsewhere.stdin.close()
    elsewhere.wait()
    assert not here.has_died(lease)
    here.new_lease()
    here.leave()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lease", ["", "x", "0" * 64, "../../etc/passwd", "0" * 31])
def test_it_says_nothing_of_whom_it_does_not_know(here: Owner, lease: str) -> None:
    here.new_lease()
    assert not here.has_died(lease)


def test_it_is_alive_to_itself(here: Owner) -> None:
    assert not here.has_died(here.new_lease())


def test_it_goes_without_where_there_is_no_place_for_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    owner = Owner(tmp_path / "file")
    assert owner.new_lease() != owner.new_lease()
