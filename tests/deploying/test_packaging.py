"""The files for systemd, containers and proxies, as far as they can be looked at here."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from applinks.errors import StartRefusedError
from applinks.services.storage import open_storage
from applinks.settings import Settings, read_settings
from tests.processes import ROOT

PACKAGING = ROOT / "packaging"
UNIT = (PACKAGING / "applinks.service").read_text()
HIGHEST_EXPOSURE = 2.0


def unit(text: str, folder: Path) -> Path:
    """The unit as it is installed, with a program that is here."""
    file = folder / "applinks.service"
    file.write_text(text.replace("/usr/local/bin/applinks", shutil.which("true") or "/bin/true"))
    return file


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't here")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )


@needs_systemd
def test_the_unit_is_one(tmp_path: Path) -> None:
    said = analyze("verify", unit(UNIT, tmp_path))
    assert (said.returncode, said.stderr) == (0, "")


@needs_systemd
def test_a_unit_with_a_mistake_is_none(tmp_path: Path) -> None:
    said = analyze("verify", unit(UNIT.replace("KillMode=mixed", "KilMode=mixed"), tmp_path))
    assert "KilMode" in said.stderr


@needs_systemd
def test_the_unit_is_hardened(tmp_path: Path) -> None:
    said = analyze("security", "--offline=yes", unit(UNIT, tmp_path))
    found = re.search(r"Overall exposure level for applinks.service: ([0-9.]+)", said.stdout)
    assert found, said.stdout + said.stderr
    assert float(found[1]) <= HIGHEST_EXPOSURE


def test_the_unit_sets_what_there_is_to_be_set() -> None:
    environ = dict(
        line.removeprefix("Environment=").split("=", 1) for line in UNIT.splitlines() if line.startswith("Env")
    )
    settings = read_settings(environ)
    assert settings.https
    assert settings.trusted_proxies


def test_it_reads_the_keys_that_systemd_and_containers_hand_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are another's, and may be read by a group: the service's own."""
    open_storage(settings)
    owner = settings.keys_file.stat().st_uid
    settings.keys_file.chmod(0o440)
    monkeypatch.setattr("applinks.services.keys_file.os.geteuid", lambda: owner + 1)
    open_storage(settings)


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o441])
def test_it_refuses_another_owners_keys_that_everybody_may_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    open_storage(settings)
    owner = settings.keys_file.stat().st_uid
    settings.keys_file.chmod(mode)
    monkeypatch.setattr("applinks.services.keys_file.os.geteuid", lambda: owner + 1)
    with pytest.raises(StartRefusedError, match="Others may read"):
        open_storage(settings)


def test_the_container_is_made_of_steps_that_are_run_here() -> None:
    steps = re.findall(
        r"^(?:RUN|COPY|CMD|ENTRYPOINT|HEALTHCHECK) (.*)$", (PACKAGING / "Dockerfile").read_text(), re.MULTILINE
    )
    makefile = (ROOT / "Makefile").read_text()
    text = "\n".join(steps)
    for step in ("-r packaging/requirements.txt", "--no-deps --no-build-isolation --wheel-dir dist ."):
        assert step in text
        assert step in makefile
    for name in re.findall(r"(?:packaging/)?requirements[a-z-]*\.txt", text):
        assert (ROOT / name).is_file(), name
    settings = dict(pair.split("=") for pair in re.findall(r"APPLINKS_\w+=\S+", (PACKAGING / "Dockerfile").read_text()))
    assert read_settings(settings).host == "0.0.0.0"


def test_the_container_keeps_the_checkout_out_of_it() -> None:
    assert {"data", ".venv", ".git"} <= set((ROOT / ".dockerignore").read_text().split())


def test_compose_runs_it_with_as_little_as_it_needs() -> None:
    service = yaml.safe_load((PACKAGING / "compose.yaml").read_text())["services"]["applinks"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    settings = read_settings(service["environment"])
    assert settings.https
    assert settings.keys_file == Path("/run/secrets/keys")


def test_nothing_in_it_may_be_run_by_mistake() -> None:
    for file in PACKAGING.iterdir():
        assert not stat.S_IMODE(file.stat().st_mode) & 0o111, file.name
