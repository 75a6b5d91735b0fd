"""The pictures of the console: all are there and small, and `make console-pictures` takes them."""

import os
import struct
from pathlib import Path
from typing import Any

import pytest
from imc_testkit.deployment import Deployment
from project_files import ROOT

from conftest import Client
from console.browser import PHONE, WIDE, Tab, tab
from console.made_up import NOW, answer_operators_calls

FOLDER = ROOT / "docs/pictures"
MOST_BYTES = 150_000
SIZES = {1280: WIDE, 390: PHONE}
PAGES = {
    # The first one is of now; the others are of the time of what is made up.
    "live": "live?app=evening-show",
    "overview": "overview",
    "gateways": "gateways",
}
CONTENTS = ["Who plays tonight?", "Me, from nine on", "The stage is open", "See you there"]
NAMES = [f"{page}-{width}-{scheme}" for page in PAGES for width in SIZES for scheme in ("light", "dark")]


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, as its header says (section 11.2.2 of the specification)."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_there_and_small(name: str):
    path = FOLDER / f"console-{name}.png"
    assert size_of(path) == SIZES[int(name.split("-")[1])]
    assert path.stat().st_size < MOST_BYTES


def test_no_picture_is_left_over():
    assert {path.name for path in FOLDER.glob("console-*")} == {f"console-{name}.png" for name in NAMES}


@pytest.mark.skipif(not os.environ.get("PICTURES"), reason="pictures are taken by `make console-pictures`")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
async def test_pictures_are_taken(
    browser: Any, standalone_process: Deployment, http: Any, width: int, scheme: str
):
    client = Client(standalone_process, http)
    async with tab(
        browser, standalone_process.query_apis[0].url, size=SIZES[width], scheme=scheme
    ) as console:
        await answer_operators_calls(console.page)
        for page, path in PAGES.items():
            if page != "live":
                await console.page.clock.set_fixed_time(NOW / 1000)
            await console.go(path)
            await shown(console, client, page)
            await console.page.screenshot(path=FOLDER / f"console-{page}-{width}-{scheme}.png")


async def shown(console: Tab, client: Client, page: str) -> None:
    """Wait until a page shows everything."""
    if page == "overview":
        await console.page.locator(".chart svg").nth(3).wait_for()
        await console.text("imc-query-api").wait_for(state="attached")
    elif page == "gateways":
        await console.text("office-gw-2").first.wait_for(state="attached")
    else:
        await console.page.locator(".live-state .good").wait_for()
        receipts = [
            await client.send("evening-show", content, groupId="stage", userId=user)
            for content, user in zip(CONTENTS, ["ann", "bob", "carol", "dan"], strict=True)
        ]
        recall = {"appId": "evening-show", "messageId": receipts[1]["messageId"], "recallCause": "typo"}
        await client.post("/v1/commands/recall-message", recall)
        await console.page.locator(".badge").get_by_text("recall", exact=True).wait_for()
