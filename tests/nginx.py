"""Find an nginx for the tests behind a proxy, or get one; and run it on loopback with a configuration of ours."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.debian import install

# Debian has it where only root looks for programs.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
_WHOLE = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def find() -> str | None:
    """The path of an nginx that is here already."""
    return shutil.which("nginx", path=_PATH)


def start(folder: Path, site: str) -> subprocess.Popen[bytes]:
    """Run an nginx that serves a site as its configuration says; whoever starts it stops it."""
    path = find()
    assert path
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(_WHOLE.format(folder=folder, user=user))
    command = [path, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    if not find():
        install("nginx-light")
    print("nginx:", find() or "none to be had: tests behind it will be skipped, or fail with CI=true")
