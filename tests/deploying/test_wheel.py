"""The wheel, for those who have Python: everything is in it, and its command runs anywhere."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.processes import ROOT

WHEELS = sorted((ROOT / "dist").glob("applinks-*.whl"))

pytestmark = pytest.mark.skipif(not WHEELS and os.environ.get("CI") != "true", reason="make dist has not been run")


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has installed it, without the checkout."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--target", str(tmp_path / "lib"), str(WHEELS[-1])], check=True, timeout=60)
    path = f"{tmp_path / 'lib' / 'bin'}{os.pathsep}{os.defpath}"
    return {"PATH": path, "PYTHONPATH": str(tmp_path / "lib"), "HOME": str(tmp_path)}


def test_it_holds_every_file_and_none_of_the_tests() -> None:
    names = set(zipfile.ZipFile(WHEELS[-1]).namelist())
    code = {str(file.relative_to(ROOT)) for file in (ROOT / "applinks").rglob("*.py")}
    beside = {
        f"applinks/{file.relative_to(ROOT)}"
        for folder in ("templates", "static")
        for file in (ROOT / folder).rglob("*")
        if file.is_file()
    }
    assert code | beside == {name for name in names if ".dist-info/" not in name}


def test_its_command_answers_anywhere(installed: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    script = (
        "import os, sys; import applinks; from applinks import create_app\n"
        "print(applinks.__file__); print(create_app().test_client().get('/sign-in', base_url='http://127.0.0.1:5000').status)"
    )
    command = [sys.executable, "-c", script]
    said = subprocess.run(
        command, cwd=tmp_path / "empty", env=installed, capture_output=True, text=True, timeout=60, check=False
    )
    assert said.stdout.splitlines() == [str(tmp_path / "lib" / "applinks" / "__init__.py"), "200 OK"], said.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [(["--help"], 0, "usage: applinks "), (["links", "list"], 2, "There is no Applinks")],
)
def test_it_has_a_command_of_its_own(
    installed: dict[str, str], tmp_path: Path, arguments: list[str], status: int, says: str
) -> None:
    said = subprocess.run(
        [tmp_path / "lib" / "bin" / "applinks", *arguments],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == status
    assert says in said.stdout + said.stderr
