"""Pages in a real browser: Debian's or the system's Chromium, driven by playwright.

Nothing is downloaded: without a Chromium on the path the tests that need one are skipped, saying
so.
"""

import contextlib
import shutil
import time
from pathlib import Path

import attrs

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SERIOUS = ("serious", "critical")


def executable() -> str | None:
    """The browser's path; None: there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextlib.contextmanager
def browser():
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=executable(),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        try:
            yield launched
        finally:
            launched.close()


@attrs.define
class Opened:
    """A page that was opened, and what it complained of."""

    page: object
    errors: list[str]
    """Console errors, exceptions and requests that failed or left the machine."""
    seconds: float
    """From the request to the end of loading."""

    def broken_images(self) -> list[str]:
        return self.page.evaluate(
            "() => [...document.images].filter(i => !(i.complete && i.naturalWidth))"
            ".map(i => i.alt || i.outerHTML.slice(0, 80))"
        )

    def faults(self) -> list[str]:
        """What axe-core finds serious, as the page stands."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{fault['id']}: {fault['nodes'][0]['html'][:120]}"
            for fault in found
            if fault["impact"] in SERIOUS
        ]


def open_page(browser, url: str, *, width: int = 1280, height: int = 900, dark: bool = False):
    """Open a page in a context of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        bypass_csp=False,
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(f"failed: {request.url[:120]}"))
    allowed = ("file:", "data:", "blob:", "http://127.0.0.1", "http://localhost")
    page.on(
        "request",
        lambda r: None if r.url.startswith(allowed) else errors.append(f"left: {r.url[:120]}"),
    )
    began = time.monotonic()
    page.goto(url, wait_until="load")
    return Opened(page, errors, time.monotonic() - began)


def url_of(file: Path) -> str:
    return file.resolve().as_uri()
