"""A real Chromium that looks at the daemon's page, and complains of whatever a page must not do."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright

if TYPE_CHECKING:
    from collections.abc import Mapping

SCREENSHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
_WATCH = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.__violations.push(
  `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
window.__executed = [];
window.alert = (text) => window.__executed.push(text);
"""


def launch(playwright: Playwright) -> Browser:
    """Start Debian's Chromium."""
    found = shutil.which("chromium")
    assert found is not None
    flags = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if os.getuid() == 0 else [])]
    return playwright.chromium.launch(executable_path=found, args=flags)


@dataclass
class Visitor:
    """One browser window on one daemon.

    Args:
        browser: Launched.
        address: "127.0.0.1:8410".
    """

    browser: Browser
    address: str
    options: Mapping[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list, init=False)  # errors of pages, failed requests
    context: BrowserContext = field(init=False)
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.context = self.browser.new_context(viewport=DESKTOP, **self.options)  # type: ignore[arg-type]
        self.context.set_default_timeout(15_000)
        self.context.add_init_script(_WATCH)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on(
            "console",
            lambda said: self.complaints.append(f"console: {said.text}") if said.type in {"error", "warning"} else None,
        )
        self.page.on("request", self._is_ours)

    def _is_ours(self, request: Any) -> None:
        if not request.url.startswith((f"http://{self.address}/", "data:")):
            self.complaints.append(f"asked elsewhere: {request.url}")

    def go(self, path: str) -> Page:
        """Open a page and return it once everything on it is there, a comparison too."""
        self.page.goto(f"http://{self.address}{path}", wait_until="load")
        self.page.locator("[data-again]").wait_for(state="detached")
        return self.page

    def shot(self, name: str) -> Path:
        """Keep a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=True)
        return path

    def broken(self) -> list[str]:
        """Return what must not have happened: violations of the policy, scripts of strangers, errors."""
        found = list(self.complaints)
        if self.options.get("java_script_enabled", True):
            found += [f"policy: {one}" for one in self.page.evaluate("window.__violations")]
            found += [f"executed: {one}" for one in self.page.evaluate("window.__executed")]
        return found

    def close(self) -> None:
        """Close the window."""
        self.context.close()
