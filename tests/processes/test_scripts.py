"""What the book for scripts tells to do, copied from it to the letter, against the demo."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
import requests

from tests.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a script beside a demo whose account is connected."""
    folder, port = tmp_path_factory.mktemp("scripts"), free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("APPLINKS_", "OAUTHLIB_"))}
    settings = {"APPLINKS_PORT": str(port), "APPLINKS_DATA_DIR": str(folder / "data")}
    command = [sys.executable, "app.py", "demo"]
    demo = subprocess.Popen(command, cwd=ROOT, env=own | settings, stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout
        setup = next(found[1] for line in demo.stdout if (found := re.match(r"Open (\S+)", line)))
        url = f"http://127.0.0.1:{port}"
        (folder / "applinks").symlink_to(ROOT)
        yield own | {
            "HOME": str(folder),
            "APPLINKS_URL": url,
            "APPLINKS_API_KEY": connected(url, setup),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}",
        }
    finally:
        demo.terminate()
        demo.communicate(timeout=SECONDS)


def connected(url: str, setup: str) -> str:
    """Connect the demo's account as a browser would, and make an API key for it."""
    with requests.Session() as browser:
        page = browser.get(setup, timeout=SECONDS)

        def post(path: str, page: requests.Response, **fields: str) -> requests.Response:
            token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
            assert token, page.text
            return browser.post(
                url + path, {"csrf_token": token[1], **fields}, headers={"Origin": url}, timeout=SECONDS
            )

        def go_on(page: requests.Response) -> requests.Response:
            found = re.search(r'content="0; url=([^"]+)"', page.text)
            assert found, page.text
            return browser.get(unescape(found[1]), timeout=SECONDS)

        consent = go_on(post("/links/demo-provider/connect", page, label="default"))
        ticket = re.search(r'name="ticket" value="([^"]+)"', consent.text)
        assert ticket
        go_on(post("/oauth/authorize", consent, ticket=unescape(ticket[1]), decision="allow"))
        form = browser.get(f"{url}/api-keys/new", timeout=SECONDS)
        key = {"name": "README", "reach": "some", "links": "demo-provider", "may": "read", "days": "1"}
        found = re.search(r"apl_[0-9a-z]{12}_[0-9A-Za-z]{49}", post("/api-keys/new", form, **key).text)
        assert found
        return found[0]


def blocks(language: str) -> list[str]:
    """The book's blocks of code in a language."""
    section = (ROOT / "docs" / "scripts.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def run(command: list[str], environment: dict[str, str], folder: Path = ROOT) -> str:
    told = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_a_shell_script_gets_a_token_and_uses_it(environment: dict[str, str]) -> None:
    (script,) = blocks("sh")
    first, second = run(["sh", "-euc", script], environment).replace("}{", "}\n{").splitlines()[:2]
    assert json.loads(first)["token_type"] == "Bearer"
    assert "demo" in json.loads(second).values()


def test_a_python_script_gets_the_same_token(environment: dict[str, str]) -> None:
    (script,) = blocks("python")
    token = run([sys.executable, "-c", script], environment).strip()
    assert token == run([sys.executable, "app.py", "token", "demo-provider"], environment).strip()


def test_a_mail_program_gets_a_token(environment: dict[str, str], tmp_path: Path) -> None:
    (settings,) = [block for block in blocks("") if "passwordeval" in block]
    found = re.search(r'^passwordeval "(.*)"$', settings, re.MULTILINE)
    assert found
    said = run(["sh", "-c", found[1]], environment, tmp_path)
    assert re.fullmatch(r"apa_[A-Za-z0-9_-]{43}\n", said)


@pytest.mark.parametrize("key", ["", "apl_wrong"])
def test_a_script_with_another_key_gets_none(environment: dict[str, str], key: str) -> None:
    (script,) = blocks("sh")
    with_key = environment | {"APPLINKS_API_KEY": key}
    told = subprocess.run(
        ["sh", "-euc", script], cwd=ROOT, env=with_key, capture_output=True, text=True, timeout=SECONDS
    )
    assert (told.returncode, told.stdout) == (22, "")
    (script,) = blocks("python")
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, cwd=ROOT, env=with_key, capture_output=True, text=True, timeout=SECONDS)
    assert "401" in told.stderr
    assert told.stdout == ""
