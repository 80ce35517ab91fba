"""Programs that the tests use and no package of Python's has: from Debian, where this is Debian and we are root."""

import os
import shutil
import subprocess

SECONDS = 300


def install(package: str) -> None:
    """Install a package, if that is possible here."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        attempt(["apt-get", "update", "-qq"])
        attempt(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])


def attempt(command: list[str]) -> None:
    print("+", *command, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, env=environment, check=False, timeout=SECONDS, stdout=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        print(f"  took longer than {SECONDS // 60} minutes")
