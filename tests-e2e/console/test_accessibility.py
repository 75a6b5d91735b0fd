"""axe-core finds no serious fault in any page, in both themes, both languages, on a phone and on a desk."""

from typing import Any

import pytest
from clients.toolchains import built
from imc_testkit.deployment import Deployment

from conftest import Client
from console.browser import PHONE, WIDE, tab
from console.made_up import answer_operators_calls

AXE = '{"dependencies": {"axe-core": "4.14.1"}}'
PAGES = {
    "overview": "imc-projector",
    "apps": "customer-service",
    "gateways": "office-gw-2",
    "dead-letters": "Data too long",
    "live?app={app}": "hello",
    "groups?app={app}": "hello",
    "group?app={app}&group=g": "hello",
    "notices?app={app}&group=g": "Tonight",
    "search?app={app}&user=u": "hello",
    "groups?app=without-any": "",
}
"""The pages, and what shows that each is there."""

SERIOUS = {"serious", "critical"}
LOOKS = [
    (WIDE, "light", "en-US"),
    (WIDE, "dark", "zh-CN"),
    (PHONE, "dark", "en-US"),
    (PHONE, "light", "zh-CN"),
]


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    folder = built("axe", {"package.json": AXE}, fetch=[["npm", "install", "--no-audit", "--no-fund"]])
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


async def faults(page: Any, axe: str) -> list[str]:
    """What axe-core says of a page, unless it is minor."""
    await page.evaluate(axe)
    result = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{found['id']}: {found['help']}: {[node['html'][:120] for node in found['nodes']][:3]}"
        for found in result["violations"]
        if found["impact"] in SERIOUS
    ]


@pytest.mark.parametrize(("size", "scheme", "locale"), LOOKS)
async def test_no_page_has_a_serious_fault(
    browser: Any,
    standalone_process: Deployment,
    http: Any,
    axe: str,
    app_id: str,
    size: Any,
    scheme: str,
    locale: str,
):
    client = Client(standalone_process, http)
    await client.send(app_id, "hello")
    notice = {"appId": app_id, "groupId": "g", "userId": "u", "title": "Tonight", "content": "hello"}
    await client.post("/v1/commands/publish-notice", notice)
    await client.history(app_id, total=1)
    async with tab(
        browser, standalone_process.query_apis[0].url, size=size, scheme=scheme, locale=locale
    ) as console:
        await answer_operators_calls(console.page)
        for path, shown in PAGES.items():
            await console.go(path.format(app=app_id))
            if path.startswith("live"):
                await console.page.locator(".live-state .good").wait_for()
                await client.send(app_id, "hello")
            await console.text(shown).first.wait_for() if shown else await console.page.locator(
                ".empty"
            ).wait_for()
            assert await faults(console.page, axe) == [], path


async def test_the_sign_in_and_a_dialog_have_no_serious_fault(
    browser: Any, standalone_process: Deployment, axe: str
):
    async with tab(browser, standalone_process.query_apis[0].url) as console:
        await answer_operators_calls(console.page)
        await console.go("gateways")
        await console.button("Disconnect office-gw-0").click()
        assert await faults(console.page, axe) == []
        refusal = {"success": False, "code": 40101, "message": "the token has expired", "data": None}

        async def refused(route: Any) -> None:
            await route.fulfill(status=401, json=refusal)

        await console.page.route("**/v1/installation", refused)
        await console.go("")
        await console.page.get_by_label("Token").wait_for()
        assert await faults(console.page, axe) == []
