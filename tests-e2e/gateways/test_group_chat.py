"""The group chat of examples/, in two windows of a browser, each at a gateway of its own."""

import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from console.browser import chromium
from imc_testkit.child import Child, free_port
from imc_testkit.waiting import wait_until
from project_files import ROOT

DEMO = ROOT / "examples/group-chat/demo.py"
START_SECONDS = 90
SHOWN_MS = 60_000
"""How long a window may take to show something: a gateway that lost its node waits a random time."""


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Any]:
    async with chromium() as browser:
        yield browser


class Demo:
    """What `make demo` starts."""

    def __init__(self, child: Child) -> None:
        self.child = child

    @property
    def links(self) -> list[str]:
        """The two links that it prints."""
        return re.findall(r"http://\S+", self.child.log)

    @property
    def push_nodes(self) -> list[int]:
        """The process ids of the push-nodes that it prints."""
        return [int(pid) for pid in re.findall(r"kill -9 (\d+)", self.child.log)]


@pytest.fixture(scope="module")
async def demo() -> AsyncGenerator[Demo]:
    environment = {"PATH": os.environ["PATH"], "PORT": str(free_port())}
    child = Child([sys.executable, str(DEMO)], environment)
    child.spawn()
    try:
        await wait_until(lambda: is_up(child), START_SECONDS, what="the demo")
        yield Demo(child)
        child.send_signal(signal.SIGINT)
        assert await child.wait(60) == 0
    finally:
        sys.stdout.write(child.log)
        await child.close()


def is_up(child: Child) -> bool:
    assert child.exit_code is None, child.log
    return "Ctrl-C" in child.log


@pytest.mark.parametrize("port", ["none", "0", "65535"])
async def test_a_port_that_can_t_be_used_is_told_in_a_line(port: str) -> None:
    child = Child([sys.executable, str(DEMO)], {"PATH": os.environ["PATH"], "PORT": port})
    child.spawn()
    try:
        assert await child.wait(60) == 1
        assert len(child.log.splitlines()) == 1
        assert "PORT" in child.log
    finally:
        await child.close()


async def test_a_port_that_is_taken_is_told_in_a_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        child = Child([sys.executable, str(DEMO)], {"PATH": os.environ["PATH"], "PORT": port})
        child.spawn()
        try:
            assert await child.wait(60) == 1
            assert child.log.startswith(f"port {port} can't be used")
        finally:
            await child.close()


class Window:
    """A window with the chat, and what went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(SHOWN_MS)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    async def write(self, content: str, button: str = "Send") -> None:
        """Write a message, or pin a notice."""
        await self.page.get_by_label("Message", exact=True).fill(content)
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def shows(self, content: str) -> None:
        """Wait for a message."""
        await self.message(content).wait_for()

    def message(self, content: str) -> Any:
        """The element of a message."""
        return self.page.locator("#messages li").filter(has_text=content)

    async def contents(self) -> list[str]:
        """All messages, as they stand."""
        return await self.page.locator("#messages .content").all_inner_texts()

    async def says(self, words: str) -> None:
        """Wait for what is said of the connection."""
        await self.page.get_by_role("status").filter(has_text=words).wait_for()


@contextlib.asynccontextmanager
async def window(browser: Any, link: str, **options: Any) -> AsyncGenerator[Window]:
    context = await browser.new_context(**options)
    opened = Window(await context.new_page())
    try:
        await opened.page.goto(link)
        await opened.says("You are")
        yield opened
        assert opened.faults == []
        assert opened.hosts == {link.split("/")[2]}
    finally:
        await context.close()


@pytest.mark.timeout(300)
async def test_two_windows_talk_across_two_gateways_and_the_kill_of_a_push_node(
    browser: Any, demo: Demo
) -> None:
    first, second = [f"{link}&room=talk" for link in demo.links]
    async with window(browser, first) as ann, window(browser, second) as bob:
        await ann.write("hello from ann")
        await bob.shows("hello from ann")
        await bob.write("<b>hello</b> from bob")
        await ann.shows("<b>hello</b> from bob")

        for pid in demo.push_nodes:
            os.kill(pid, signal.SIGKILL)
            await ann.write(f"ann after {pid}")
            await bob.write(f"bob after {pid}")
            for each in (ann, bob):
                await each.shows(f"ann after {pid}")
                await each.shows(f"bob after {pid}")
                await each.says("You are")
        assert await ann.contents() == await bob.contents()
        assert len(await ann.contents()) == 2 + 2 * len(demo.push_nodes)
        assert await ann.page.locator("#unsent li").count() == 0


@pytest.mark.timeout(300)
async def test_recalls_notices_and_rooms(browser: Any, demo: Demo) -> None:
    first, second = [f"{link}&room=words" for link in demo.links]
    async with window(browser, first) as ann, window(browser, second) as bob:
        await ann.write("a slip")
        await bob.shows("a slip")
        assert await bob.message("a slip").get_by_role("button").count() == 0
        await ann.message("a slip").get_by_role("button", name="Recall").click()
        for each in (ann, bob):
            await each.shows("This message was recalled")
            assert await each.contents() == ["This message was recalled"]

        await ann.write("Meet at eight", button="Pin")
        notice = bob.page.get_by_label("Notices").get_by_text("Meet at eight")
        await notice.wait_for()
        await ann.page.get_by_role("button", name="Unpin").click()
        await notice.wait_for(state="detached")

        async with window(browser, demo.links[1].replace("bob", "cid") + "&room=elsewhere") as cid:
            await cid.write("anyone?")
            await ann.page.get_by_role("link", name="elsewhere").wait_for()


@pytest.mark.timeout(300)
async def test_history_comes_by_scrolling_up_and_a_reload_shows_it_again(browser: Any, demo: Demo) -> None:
    link = f"{demo.links[0]}&room=long"
    expected = [f"line {number}" for number in range(75)]
    async with window(browser, link) as ann:
        for content in expected:
            await ann.write(content)
        await ann.shows(expected[-1])
        await ann.page.reload()
        await ann.shows(expected[-1])
        assert await ann.contents() == expected[-30:]
        while len(await ann.contents()) < 75:
            count = len(await ann.contents())
            await ann.page.locator("#log").evaluate("log => log.scrollTo(0, 0)")
            await ann.page.wait_for_function(
                "count => document.querySelectorAll('#messages li').length > count", arg=count
            )
        assert await ann.contents() == expected
        await ann.page.get_by_text("This is where the room begins").wait_for()


@pytest.mark.timeout(300)
async def test_a_lost_chat_is_shown_and_what_was_written_meanwhile_is_sent(browser: Any, demo: Demo) -> None:
    async with window(browser, f"{demo.links[0]}&room=away") as ann:
        await ann.page.context.set_offline(True)
        await ann.page.evaluate("() => 0")
        await ann.write("written offline")
        await ann.page.context.set_offline(False)
        await ann.shows("written offline")
        assert await ann.contents() == ["written offline"]


@pytest.mark.timeout(300)
async def test_a_phone_and_a_dark_screen_have_room_for_everything(browser: Any, demo: Demo) -> None:
    """Nothing is wider than the screen. With PICTURES, pictures are kept in that folder."""
    first, second = [f"{link}&room=lobby" for link in demo.links]
    async with window(browser, first) as ann, window(browser, second) as bob:
        await ann.write("Has anybody tried the new build?")
        await bob.shows("Has anybody tried")
        await bob.write("Yes, and it holds: I killed a push-node, and nothing was lost. " * 2)
        await bob.write("no spaces, no break? " + "x" * 200)
        await ann.write("Release at eight", button="Pin")
        await bob.page.get_by_label("Notices").get_by_text("Release at eight").wait_for()
    for width, height in ((390, 844), (1280, 800)):
        for scheme in ("light", "dark"):
            size = {"width": width, "height": height}
            async with window(browser, first, viewport=size, color_scheme=scheme) as ann:
                await ann.shows("no spaces")
                assert await ann.page.evaluate("document.documentElement.scrollWidth") <= width
                if folder := os.environ.get("PICTURES"):
                    await ann.page.screenshot(path=f"{folder}/chat-{width}-{scheme}.png")
