"""Find a Chromium for the browser tests, or get one: Playwright's own download, else (Debian, root) apt's package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_DOWNLOADED = "ms-playwright/chromium-*/chrome-linux*/chrome"


def find() -> str | None:
    """The path of a Chromium that is here already."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    downloaded = sorted(map(str, cache.glob(_DOWNLOADED)))
    return next(filter(None, map(shutil.which, _NAMES)), None) or (downloaded[-1] if downloaded else None)


def get() -> str | None:
    """Find one or install one; None where neither works."""
    if path := find():
        return path
    _try([sys.executable, "-m", "playwright", "install", "chromium"])
    if not find() and shutil.which("apt-get") and os.geteuid() == 0:
        _try(["apt-get", "update", "-qq"])
        _try(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"])
    return find()


def _try(command: list[str]) -> None:
    print("+", *command, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, env=environment, check=False, timeout=300, stdout=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        print("  took longer than 5 minutes")


if __name__ == "__main__":
    print("Chromium:", get() or "none to be had: the browser tests will be skipped, or fail with CI=true")
