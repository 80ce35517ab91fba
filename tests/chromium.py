"""Find a Chromium for the browser tests, or get one: Playwright's own download, else (Debian, root) apt's package."""

import os
import shutil
import sys
from pathlib import Path

from tests.debian import attempt, install

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
    attempt([sys.executable, "-m", "playwright", "install", "chromium"])
    if not find():
        install("chromium")
    return find()


if __name__ == "__main__":
    print("Chromium:", get() or "none to be had: the browser tests will be skipped, or fail with CI=true")
