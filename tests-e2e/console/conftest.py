"""A browser, and an installation for it to look at."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_testkit.deployment import Deployment

from console.browser import Tab, chromium, tab
from console.made_up import answer_operators_calls


@pytest.fixture(scope="session")
async def browser() -> AsyncGenerator[Any]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def console(browser: Any, standalone_process: Deployment) -> AsyncGenerator[Tab]:
    """The console of an installation that asks for no tokens."""
    async with tab(browser, standalone_process.query_apis[0].url) as opened:
        yield opened


@pytest.fixture
async def busy_console(console: Tab) -> Tab:
    """The same, where the operator's calls answer for an installation that is made up."""
    await answer_operators_calls(console.page)
    return console
