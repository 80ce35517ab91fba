"""The house stands as it was drawn: imports run down, one file touches what is dangerous, pages hold nothing inline."""

import ast
import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "applinks").rglob("*.py"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))

# From the ground up. A floor may import itself and those below it.
FLOORS = {"crypto": 0, "errors": 0, "settings": 1, "models": 2, "providers": 2, "oauth": 3, "forms": 4, "services": 4}
FLOORS |= {"wiring": 5, "web": 6, "": 7, "cli": 8}
NEIGHBOURS = {
    ("forms", "services"),
    ("services", "forms"),
    ("models", "providers"),
    ("providers", "models"),
    ("oauth", "models"),
}

VENDORED = {
    "htmx-4.0.1.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "htmx-LICENSE.txt": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
    "lucide-LICENSE.txt": "b495047bd93a9b06913511076f504daba17d5bbeb3e0650f3bb53a4220329c57",
    "pico-2.1.1.cut.css": "725f9bbaed59764fcde219122f9a60b089df70076477c1c793549c46fcf08d48",
    "pico-LICENSE.txt": "afaff063e044233f917b7807dccab022f09dca474f92b642846bee4850655bbf",
}


def imports(source: Path) -> list[tuple[str, ast.AST]]:
    """Every module that a file imports, wherever in it."""
    found: list[tuple[str, ast.AST]] = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = [alias.name for alias in node.names if node.module == "applinks" and alias.name in FLOORS]
            found += [(f"applinks.{part}", node) for part in parts] or [(node.module or "", node)]
    return found


def floor(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def module(source: Path) -> str:
    return ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_it_imports_downwards_only(source: Path) -> None:
    here = floor(module(source))
    for name, _ in imports(source):
        if name.split(".")[0] == "applinks":
            there = floor(name)
            assert FLOORS[there] <= FLOORS[here], f"{here} imports {name}"
            assert (here, there) not in NEIGHBOURS, f"{here} imports {name}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_it_imports_at_the_top_of_the_file(source: Path) -> None:
    top = [node for node in ast.parse(source.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(top) == len({id(node) for _, node in imports(source)})


ALONE = {
    "cryptography": {"crypto.py"},
    "argon2": {"crypto.py"},
    # Who calls providers: `guard` and, below it, `call`; the command line calls a server of ours. The others name the
    # library's types, and sessions that obey the guard.
    "requests": {
        "oauth/guard.py",
        "oauth/call.py",
        "oauth/client.py",
        "oauth/answers.py",
        "oauth/probe.py",
        "oauth/notices.py",
        "cli/remote.py",
    },
    "requests_oauthlib": {"oauth/client.py"},
    "urllib3": {"oauth/call.py"},
    "socket": {"oauth/guard.py", "oauth/call.py", "oauth/notices.py"},
    "ssl": {"oauth/guard.py", "oauth/call.py"},
    "urllib.request": set(),
    "smtplib": {"oauth/notices.py"},
    "ftplib": set(),
    "asyncio": set(),
    "http": set(),
    "random": set(),
    "pickle": set(),
    "subprocess": set(),
}


@pytest.mark.parametrize("name", ALONE)
def test_it_keeps_what_is_dangerous_in_few_places(name: str) -> None:
    """A076, A101, A184"""
    users = {
        str(source.relative_to(ROOT / "applinks"))
        for source in SOURCES
        for found, _ in imports(source)
        if f"{found}.".startswith(f"{name}.")
    }
    assert users <= ALONE[name]


def test_it_touches_no_table_on_the_web_floor() -> None:
    """No query and no HTTP call in a route."""
    for source in (ROOT / "applinks" / "web").rglob("*.py"):
        assert not re.search(r"\b[A-Z]\w+\.(select|insert|update|delete|get_or_none|create)\(", source.read_text()), (
            source.name
        )


def test_it_reads_the_environment_in_few_places() -> None:
    users = {source.name for source in SOURCES if "os.environ" in source.read_text()}
    assert users == {"__init__.py", "client.py"}


def test_it_vendors_what_it_says() -> None:
    folder = ROOT / "static" / "vendor"
    assert {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()} == VENDORED


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: str(template.relative_to(ROOT)))
def test_it_holds_nothing_inline(template: Path) -> None:
    """A127, A128: no script, no style, no handler, and htmx attributes that validate."""
    text = template.read_text()
    assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=|javascript:|\shx-|hx-on|js:", text)
    assert "|safe" not in text.replace(" ", "")


@pytest.mark.parametrize(
    "file", [*TEMPLATES, ROOT / "static" / "app.css", ROOT / "static" / "app.js"], ids=lambda file: file.name
)
def test_it_fetches_nothing_from_elsewhere(file: Path) -> None:
    """A195"""
    assert not re.search(r"""(src|href|action|url\()\s*=?\s*["']?(https?:)?//""", file.read_text())
