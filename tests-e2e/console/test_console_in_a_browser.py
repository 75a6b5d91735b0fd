"""The console in a browser, as people use it, on a real installation."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.gateway import connect
from imc_testkit.processes import Process
from imc_testkit.tokens import JWT, OFF, token

from conftest import Client
from console.browser import PHONE, Tab, tab

EVERYWHERE = ["Overview", "Apps", "Gateways", "Dead letters", "Live", "Groups", "Search"]
MARKUP = "<img src=x onerror=alert(1)> <b>& \u202e 群 🙂"


@pytest.fixture(scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    """An installation that asks for tokens."""
    async with standalone(tmp_path_factory.mktemp("guarded"), JWT) as deployment:
        yield deployment


@pytest.fixture
async def guarded_console(browser: Any, guarded: Deployment) -> AsyncGenerator[Tab]:
    async with tab(browser, guarded.query_apis[0].url) as opened:
        yield opened


@pytest.fixture
def client(standalone_process: Deployment, http: Any) -> Client:
    return Client(standalone_process, http)


async def sign_in(console: Tab, signed: str) -> None:
    await console.page.get_by_label("Token").fill(signed)
    await console.button("Sign in").click()


class TestSigningIn:
    async def test_nobody_is_asked_where_no_token_is_needed(self, console: Tab):
        await console.go("")
        assert await console.links() == EVERYWHERE
        assert await console.button("Sign out").count() == 0

    async def test_a_token_is_asked_for_and_kept_for_the_tab_alone(self, guarded_console: Tab):
        await guarded_console.go("")
        await sign_in(guarded_console, "Bearer " + token(scope="operate read gateway"))
        assert await guarded_console.links() == EVERYWHERE
        kept = await guarded_console.page.evaluate("[Object.values(localStorage).join(), document.cookie]")
        assert kept == ["", ""]
        assert "eyJ" not in guarded_console.page.url
        await guarded_console.button("Sign out").click()
        await guarded_console.page.get_by_label("Token").wait_for()
        assert await guarded_console.page.evaluate("sessionStorage.length") == 0

    @pytest.mark.parametrize("bad", ["nonsense", "令牌", "a.b.c", "two words"])
    async def test_a_bad_token_is_refused_with_the_cure(self, guarded_console: Tab, bad: str):
        await guarded_console.go("")
        await sign_in(guarded_console, bad)
        await guarded_console.text("The token is not valid").first.wait_for()
        await guarded_console.text("Sign in with a fresh token.").wait_for()

    async def test_a_token_that_ends_leads_back_to_the_sign_in(self, guarded_console: Tab):
        await guarded_console.go("groups?app=ending")
        await sign_in(guarded_console, token("ending", "read", lifetime=6))
        await guarded_console.heading("Groups of ending")
        await guarded_console.page.get_by_label("Token").wait_for()
        await guarded_console.text("The token is not valid").first.wait_for()

    async def test_what_a_token_does_not_allow_is_not_shown(self, guarded_console: Tab):
        await guarded_console.go("")
        await sign_in(guarded_console, token("only-app", "read"))
        assert await guarded_console.links() == ["Groups", "Search"]
        await guarded_console.heading("Groups of only-app")
        await guarded_console.go("group?app=only-app&group=lobby")
        await guarded_console.text("No messages").wait_for()
        assert await guarded_console.button("Send").count() == 0
        await guarded_console.go("gateways")
        await guarded_console.heading("Not allowed")

    async def test_an_app_is_chosen_among_those_of_the_token(self, guarded_console: Tab):
        await guarded_console.go("groups")
        await sign_in(guarded_console, token(["one-app", "other-app"], "read"))
        picker = guarded_console.page.get_by_role("main").get_by_label("App")
        await picker.wait_for()
        assert await picker.locator("option").all_inner_texts() == ["one-app", "other-app"]
        await picker.select_option("other-app")
        await guarded_console.page.get_by_role("main").get_by_role("button", name="Open").click()
        await guarded_console.heading("Groups of other-app")

    async def test_another_app_than_those_of_the_token_is_refused_in_words(self, guarded_console: Tab):
        await guarded_console.go("groups?app=foreign")
        await sign_in(guarded_console, token("own", "read"))
        await guarded_console.text("The token does not allow this").wait_for()


class TestMessages:
    async def test_a_message_is_sent_seen_found_and_recalled(self, console: Tab, client: Client, app_id: str):
        await console.go(f"group?app={app_id}&group=lobby")
        await console.text("No messages").wait_for()
        await console.page.get_by_label("Content").fill(MARKUP)
        await console.button("Send").click()
        entry = console.page.get_by_role("listitem").filter(has_text=MARKUP)
        await entry.wait_for()
        await console.text("Sent: ").wait_for()
        assert await console.page.locator("main img").count() == 0
        message_id = await entry.locator("code").inner_text()

        await console.go(f"search?app={app_id}&id={message_id}")
        await entry.wait_for()
        await console.button("Recall").click()
        await console.page.get_by_role("dialog").get_by_label("Cause").fill("typo")
        await console.page.get_by_role("dialog").get_by_role("button", name="Recall").click()
        await console.text("Recalled").and_(console.page.locator(".entry-text")).wait_for()
        await console.text("typo").wait_for()
        assert await entry.count() == 0
        found = await client.get("/v1/queries/message", appId=app_id, messageId=message_id)
        assert (found["data"]["status"], found["data"]["recallCause"]) == (0, "typo")

    async def test_history_is_read_a_page_at_a_time(self, console: Tab, client: Client, app_id: str):
        for number in range(120):
            await client.send(app_id, f"number {number}")
        await client.history(app_id, total=120)
        await console.go(f"group?app={app_id}&group=g")
        entries = console.page.locator(".entry-text")
        pages = [("Older", 119, 70), ("Older", 69, 20), ("Newer", 19, 0), ("Newer", 69, 20), (None, 119, 70)]
        for turn, first, last in pages:
            await entries.first.filter(has_text=f"number {first}").wait_for()
            shown = await entries.all_inner_texts()
            assert shown == [f"number {number}" for number in range(first, last - 1, -1)]
            if turn:
                await console.button(turn).click()

    async def test_a_send_of_unknown_end_stays_one_message(self, console: Tab, client: Client, app_id: str):
        await console.go(f"group?app={app_id}&group=g")

        async def lost(route: Any) -> None:
            await route.fetch()
            await route.abort()

        await console.page.route("**/send-message", lost, times=1)
        await console.page.get_by_label("Content").fill("once")
        await console.button("Send").click()
        await console.text("IMC can't be reached").wait_for()
        await console.button("Send").click()
        await console.text("Sent: ").wait_for()
        assert [each["content"] for each in await client.history(app_id, total=1)] == ["once"]

    async def test_bad_input_is_told_in_the_words_of_the_service(self, console: Tab, app_id: str):
        await console.go(f"group?app={app_id}&group=g")
        await console.page.get_by_label("User").fill(" x ")
        await console.button("Send").click()
        await console.text("userId is not valid").wait_for()
        assert await console.button("Send").evaluate("each => each === document.activeElement")
        await console.text("Change the field that is named.").wait_for()

    async def test_groups_lead_to_their_messages(self, console: Tab, client: Client, app_id: str):
        await client.send(app_id, "hello", groupId="a/b?c&d 群")
        await client.history(app_id, "a/b?c&d 群", total=1)
        await console.go(f"groups?app={app_id}")
        await console.page.get_by_role("link", name="a/b?c&d 群").click()
        await console.heading("a/b?c&d 群")
        await console.text("hello").wait_for()

    async def test_a_notice_is_published_and_deleted(self, console: Tab, app_id: str):
        await console.go(f"notices?app={app_id}&group=lobby")
        await console.text("No notices").wait_for()
        await console.page.get_by_label("Title").fill("Tonight")
        await console.page.get_by_label("Content").fill("Maintenance")
        await console.button("Publish").click()
        await console.text("Maintenance").wait_for()
        await console.button("Delete").click()
        await console.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await console.text("No notices").wait_for()
        await console.page.get_by_label("Show deleted ones").check()
        await (
            console.page.get_by_role("listitem")
            .filter(has_text="Maintenance")
            .get_by_text("deleted")
            .wait_for()
        )


class TestLive:
    async def test_events_appear_as_they_happen_and_pass_filters(
        self, console: Tab, client: Client, app_id: str
    ):
        await console.go(f"live?app={app_id}")
        await console.page.locator(".live-state").get_by_text("live", exact=True).wait_for()
        first = await client.send(app_id, "first", groupId="a")
        await client.send(app_id, "second", groupId="b")
        await console.text("second").wait_for()
        await console.page.get_by_label("Group").fill("a")
        await console.text("second").wait_for(state="detached")
        await console.text("first").wait_for()
        await client.post("/v1/commands/recall-message", {"appId": app_id, "messageId": first["messageId"]})
        await console.text("first").wait_for(state="detached")
        await console.page.locator(".badge").get_by_text("recall", exact=True).wait_for()

    async def test_a_pause_holds_the_list_and_loses_nothing(self, console: Tab, client: Client, app_id: str):
        await console.go(f"live?app={app_id}")
        await console.text("From ").wait_for()
        await console.button("Pause").click()
        await client.send(app_id, "meanwhile")
        async with connect(console.url, app_id, "witness") as witness:
            await witness.wait_for_code(2000)
            await client.send(app_id, "later")
            await witness.wait_for_code(2001)
        assert await console.text("meanwhile").count() == 0
        await console.button("Pause").click()
        await console.text("meanwhile").wait_for()

    async def test_a_cut_is_shown_and_what_was_missed_follows(
        self, browser: Any, tmp_path: Path, app_id: str, http: Any
    ):
        process = Process("imc-standalone", {**OFF, "IMC_DATA_DIR": str(tmp_path)})
        async with process, tab(browser, process.url) as console:
            await process.ready()
            deployment = Deployment([process], [process], [process], [process])
            await console.go(f"live?app={app_id}")
            await console.text("From ").wait_for()
            await process.kill()
            await console.text("connection lost, trying again").wait_for()
            await process.start()
            await process.ready()
            await Client(deployment, http).send(app_id, "missed")
            await console.page.get_by_text("missed", exact=True).wait_for()
            await console.text("Everything that was missed follows").wait_for()

    async def test_a_newer_connection_ends_it_for_good(self, console: Tab, client: Client, app_id: str):
        await console.go(f"live?app={app_id}")
        gateway_id = (await console.text("called console-").inner_text()).split("called ")[1].split(".")[0]
        await console.text("From ").wait_for()
        async with connect(console.url, app_id, gateway_id) as newer:
            await newer.wait_for_code(2000)
            await console.text("4409 · replaced by a newer connection").wait_for()
        await console.button("Connect again").click()
        await console.page.locator(".live-state").get_by_text("live", exact=True).wait_for()

    async def test_a_refused_upgrade_is_explained(self, guarded_console: Tab):
        await guarded_console.go("live?app=foreign")
        await sign_in(guarded_console, token("own", "gateway"))
        await guarded_console.text("The token does not allow this").wait_for()


class TestOperating:
    async def test_the_noisiest_app_leads_to_its_gateways(self, busy_console: Tab):
        await busy_console.go("apps")
        rows = busy_console.page.get_by_role("row")
        await rows.nth(1).filter(has_text="live-room").wait_for()
        await rows.nth(1).get_by_role("link", name="64").click()
        await busy_console.heading("Gateways")
        first = busy_console.page.get_by_role("row").nth(1)
        await first.filter(has_text="live-room-gw-2").filter(has_text="14,870").wait_for()

    async def test_a_gateway_is_disconnected_after_a_question(self, busy_console: Tab):
        await busy_console.go("gateways")
        button = busy_console.button("Disconnect live-room-gw-2")
        await button.click()
        dialog = busy_console.page.get_by_role("dialog", name="Disconnect live-room-gw-2?")
        await busy_console.page.keyboard.press("Escape")
        await dialog.wait_for(state="detached")
        assert await button.evaluate("each => each === document.activeElement")
        await busy_console.page.keyboard.press("Enter")
        await dialog.get_by_role("button", name="Disconnect").click()
        await busy_console.text("Disconnected live-room-gw-2.").wait_for()

    async def test_the_overview_says_which_process_is_not_ready_and_why(self, busy_console: Tab):
        await busy_console.go("overview")
        await busy_console.text("Some processes can't do their work: 1 of 6.").wait_for()
        first = busy_console.page.get_by_role("table", name="Processes").get_by_role("row").nth(1)
        await first.filter(has_text="imc-projector").get_by_text("the database is read-only").wait_for()
        assert await busy_console.page.locator(".chart svg").count() == 4

    async def test_the_charts_stand_in_a_table_too(self, busy_console: Tab):
        await busy_console.go("overview")
        await busy_console.text("The figures as a table").click()
        table = busy_console.page.get_by_role("table", name="The figures as a table")
        await table.get_by_role("row").nth(60).wait_for()

    @pytest.mark.parametrize(("button", "said"), [("Replay", "Replayed: 3"), ("Drop", "Dropped: 3")])
    async def test_dead_letters_are_replayed_and_dropped(self, busy_console: Tab, button: str, said: str):
        await busy_console.go("dead-letters")
        await busy_console.button(button).press("Enter")
        assert await busy_console.page.get_by_role("dialog").count() == 0
        await busy_console.button("Choose all").click()
        await busy_console.text("Chosen: 3 of 3").wait_for()
        await busy_console.button(button).click()
        await busy_console.page.get_by_role("dialog").get_by_role("button", name=button).click()
        await busy_console.text(said).wait_for()


class TestTheFrame:
    async def test_a_lost_connection_is_told_and_so_is_the_age_of_what_is_shown(
        self, browser: Any, tmp_path: Path, app_id: str
    ):
        process = Process("imc-standalone", {**OFF, "IMC_DATA_DIR": str(tmp_path)})
        async with process, tab(browser, process.url) as console:
            await process.ready()
            await console.go(f"groups?app={app_id}")
            await console.text("No groups").wait_for()
            await process.kill()
            await console.text("The connection was lost at").wait_for()
            await console.text("What is shown is from").wait_for()
            assert await console.text("No groups").count() == 1
            await process.start()
            await process.ready()
            await console.text("The connection was lost at").wait_for(state="detached")
            await console.text("What is shown is from").wait_for(state="detached")

    async def test_it_works_with_the_keyboard_alone(self, busy_console: Tab):
        page = busy_console.page
        await busy_console.go("overview")
        await busy_console.links()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        for _ in range(4):
            await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Gateways"
        await page.keyboard.press("Enter")
        await busy_console.heading("Gateways")
        assert await page.evaluate("document.activeElement.tagName") == "H1"
        assert await page.title() == "Gateways · IMC"

    async def test_rows_keep_the_focus_while_they_change(self, busy_console: Tab):
        await busy_console.go("gateways")
        await busy_console.button("Disconnect office-gw-0").focus()
        async with busy_console.page.expect_response("**/v1/gateways?*"):
            pass
        focused = "document.activeElement.ariaLabel"
        assert await busy_console.page.evaluate(focused) == "Disconnect office-gw-0"

    async def test_the_language_is_switched_and_remembered(self, console: Tab, app_id: str):
        await console.go(f"groups?app={app_id}")
        await console.button("中文").click()
        await console.heading(f"{app_id} 的群组")
        assert await console.page.evaluate("document.documentElement.lang") == "zh-CN"
        await console.go("search?app=x")
        await console.heading("在 x 中查找")
        await console.button("English").click()
        await console.heading("Search in x")

    async def test_a_browser_in_chinese_gets_chinese(self, browser: Any, standalone_process: Deployment):
        async with tab(browser, standalone_process.query_apis[0].url, locale="zh-CN") as console:
            await console.go("groups?app=x")
            await console.heading("x 的群组")

    async def test_a_phone_has_a_menu(self, browser: Any, standalone_process: Deployment):
        async with tab(browser, standalone_process.query_apis[0].url, size=PHONE) as console:
            await console.go("groups?app=x")
            await console.heading("Groups of x")
            search = console.page.get_by_role("link", name="Search")
            assert not await search.is_visible()
            await console.button("Menu").click()
            await search.click()
            await console.heading("Search in x")
            assert not await search.is_visible()

    async def test_long_names_fit_on_a_phone(self, browser: Any, client: Client, app_id: str):
        long = "g" * 127
        await client.send(app_id, "x" * 5000, groupId=long, userId="u" * 127)
        await client.history(app_id, long, total=1)
        async with tab(browser, client.deployment.query_apis[0].url, size=PHONE) as console:
            for path in (
                f"groups?app={app_id}",
                f"group?app={app_id}&group={long}",
                f"search?app={app_id}&user={'u' * 127}",
            ):
                await console.go(path)
                await console.text("uuu").first.wait_for()
                wide = "document.documentElement.scrollWidth"
                assert await console.page.evaluate(wide) == PHONE[0], path

    async def test_an_address_that_is_none_leads_to_the_first_page(self, busy_console: Tab):
        await busy_console.go("no-such-page")
        await busy_console.heading("Overview")

    async def test_a_service_alone_says_where_the_other_calls_are(self, browser: Any, database_url: str):
        process = Process("imc-query-api", {**OFF, "IMC_DATABASE_URL": database_url})
        async with process, tab(browser, process.url) as console:
            await process.ready()
            await console.go("gateways")
            await console.text("Open the console at the edge or at standalone").wait_for()
