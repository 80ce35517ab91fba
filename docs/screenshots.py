"""Take the pictures of the books from the running demo: `make screenshots`."""

import os
import re
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PORT = "5099"

sys.path.insert(0, str(ROOT))
from tests import chromium  # noqa: E402 (the same Chromium that the tests use)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"APPLINKS_PORT": PORT, "APPLINKS_DATA_DIR": folder}
        command = [sys.executable, str(ROOT / "app.py"), "demo"]
        demo = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            lines = iter(demo.stdout or [])
            address = next(found[1] for line in lines if (found := re.match(r"Open (\S+)", line)))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium.get(), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 800}, device_scale_factor=1)
                page.goto(address)
                take_pictures(page)
                browser.close()
        finally:
            demo.terminate()
            demo.wait()


def take_pictures(page: Page) -> None:
    page.get_by_role("link", name="Create link").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name", exact=True).fill("Payroll mail")
    page.get_by_role("radio", name="Google").check()
    page.get_by_label("Client ID").fill("4711.apps.example.com")
    page.get_by_label("Client secret").fill("only an example")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.screenshot(path=ROOT / "docs" / "form.png", full_page=True)
    page.get_by_label("Secret ends").fill(f"{date.today() + timedelta(days=24)}")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Payroll mail").wait_for()
    page.get_by_role("link", name="Deadlines").click()
    page.get_by_role("heading", name="In your calendar").wait_for()
    page.screenshot(path=ROOT / "docs" / "deadlines.png", clip={"x": 0, "y": 0, "width": 1280, "height": 460})
    page.get_by_role("link", name="Application links").first.click()
    page.get_by_role("button", name="Connect Demo provider").click()
    page.get_by_role("button", name="Allow").click()
    page.get_by_role("heading", name="Demo provider").wait_for()
    page.get_by_role("link", name="Application links").first.click()
    page.screenshot(path=ROOT / "docs" / "list.png", clip={"x": 0, "y": 0, "width": 1280, "height": 420})


if __name__ == "__main__":
    main()
