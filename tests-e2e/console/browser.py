"""Chromium of this machine, driven by Playwright, whose package is fetched when it is asked for."""

import contextlib
import importlib
import os
import re
import shutil
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest
from clients.toolchains import built
from imc_testkit.programs import search_path

PLAYWRIGHT = "playwright==1.65.2"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, PHONE = (1280, 800), (390, 844)


@contextlib.asynccontextmanager
async def chromium() -> AsyncGenerator[Any]:
    """A browser; skips the test where it was not asked for, or where there is no Chromium."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium", path=search_path())
    if path is None:
        pytest.skip("Chromium is not installed: install it, or let CHROMIUM say where it is")
    async with _playwright().async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


def _playwright() -> Any:
    """The module of Playwright, from an environment of its own."""
    environment = built(
        "playwright",
        {"requirements.txt": PLAYWRIGHT},
        fetch=[
            [sys.executable, "-m", "venv", "environment"],
            ["environment/bin/pip", "install", "--quiet", "-r", "requirements.txt"],
        ],
    )
    [packages] = environment.glob("environment/lib/python*/site-packages")
    if str(packages) not in sys.path:
        sys.path.append(str(packages))
    return importlib.import_module("playwright.async_api")


@dataclass
class Tab:
    """A page of the console, and what went wrong in it."""

    url: str
    page: Any
    faults: list[str] = field(default_factory=list[str])
    hosts: set[str] = field(default_factory=set[str])

    async def go(self, path: str) -> None:
        """Show a page of the console, loaded anew, by its path and query."""
        await self.page.goto("about:blank")
        await self.page.goto(f"{self.url}/console/#/{path}")

    async def heading(self, name: str) -> None:
        """Wait for the heading of a page."""
        await self.page.get_by_role("heading", name=name, level=1, exact=True).wait_for()

    def button(self, name: str, **options: Any) -> Any:
        """The button of this name."""
        return self.page.get_by_role("button", name=name, exact=True, **options)

    def text(self, text: str) -> Any:
        """The elements that hold this text."""
        return self.page.get_by_text(text)

    async def links(self) -> list[str]:
        """The names of the pages in the navigation."""
        await self.page.locator("nav a[aria-current]").first.wait_for()
        return await self.page.locator("#nav > ul a").all_inner_texts()


@contextlib.asynccontextmanager
async def tab(
    browser: Any, url: str, *, size: tuple[int, int] = WIDE, scheme: str = "light", locale: str = "en-US"
) -> AsyncGenerator[Tab]:
    """A tab with storage of its own. Fails in the end if a script failed or the policy was broken."""
    width, height = size
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale, timezone_id="UTC"
    )
    opened = Tab(url, await context.new_page())

    def noted(message: Any) -> None:
        # A call that fails is an error for the browser, not for the console, which shows it.
        is_a_call = re.search("Failed to load resource|WebSocket connection to", message.text)
        if message.type == "error" and not is_a_call:
            opened.faults.append(message.text)

    opened.page.set_default_timeout(20_000)
    opened.page.on("console", noted)
    opened.page.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.page.on(
        "request", lambda request: opened.hosts.add(request.url.split("/")[2] if "//" in request.url else "")
    )
    try:
        yield opened
        assert opened.faults == []
        assert opened.hosts <= {url.split("/")[2]}
    finally:
        await context.close()
