"""The file of apps over the whole of an installation: what it says is in force in every process soon."""

import time
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from imc_testkit.deployment import Deployment, Start, separate, standalone
from imc_testkit.gateway import connect
from imc_testkit.policies import FileOfApps, policies_text
from imc_testkit.tokens import EVERY_SCOPE, JWT, bearer, token
from imc_testkit.waiting import wait_until
from websockets.exceptions import InvalidStatus

SEND, RECALL, NOTICE = (
    f"/v1/commands/{each}" for each in ("send-message", "recall-message", "publish-notice")
)
HISTORY = "/v1/queries/messages"


class Installation:
    """An installation that asks for tokens and has a file of apps."""

    def __init__(self, deployment: Deployment, file: FileOfApps, http: httpx.AsyncClient) -> None:
        self.command_apis = [process.url for process in deployment.command_apis]
        self.nodes = [node.url for node in deployment.push_nodes]
        self.query_api = deployment.query_apis[0].url
        self.processes = [process.url for process in deployment.processes]
        self.file = file
        self._http = http

    async def declare(self, apps: Mapping[str, Mapping[str, Any]], **defaults: Any) -> None:
        """Replace the file."""
        self.file.write(policies_text(apps, defaults))

    async def send(
        self, app_id: str, headers: Mapping[str, str] | None = None, url: str | None = None
    ) -> httpx.Response:
        body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}
        return await self.post(SEND, body, headers or bearer(app_id), url)

    async def post(
        self, path: str, body: Any, headers: Mapping[str, str], url: str | None = None
    ) -> httpx.Response:
        return await self._http.post(f"{url or self.command_apis[0]}{path}", json=body, headers=headers)

    async def history(self, app_id: str, headers: Mapping[str, str]) -> httpx.Response:
        return await self._http.get(
            f"{self.query_api}{HISTORY}", params={"appId": app_id, "groupId": "g"}, headers=headers
        )

    async def upgrade(self, app_id: str, headers: Mapping[str, str], url: str) -> int:
        """The status that a gateway's handshake is answered."""
        try:
            async with connect(url, app_id, "newcomer", additional_headers=headers):
                return 101
        except InvalidStatus as denied:
            return denied.response.status_code

    async def ready(self) -> list[tuple[int, Any]]:
        """What each process answers to ``/readyz``."""
        replies = [await self._http.get(f"{url}/readyz") for url in self.processes]
        return [(reply.status_code, reply.json()) for reply in replies]

    async def stale(self) -> list[float]:
        """The metric of each process that says whether its file can't be used."""
        texts = [(await self._http.get(f"{url}/metrics")).text for url in self.processes]
        lines = [
            line for text in texts for line in text.splitlines() if line.startswith("imc_apps_file_stale")
        ]
        return [float(line.split()[1]) for line in lines]


@pytest.fixture(scope="module", params=["standalone", "separate"])
async def installation(
    request: pytest.FixtureRequest,
    redis_url: str,
    database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    http: httpx.AsyncClient,
) -> AsyncGenerator[Installation]:
    file = FileOfApps(tmp_path_factory.mktemp("apps") / "apps.toml")
    env = {**JWT, "IMC_APPS_FILE": str(file.path)}
    if request.param == "standalone":
        opened = standalone(tmp_path_factory.mktemp("data"), env)
    else:
        opened = separate(redis_url, database_url, env, projectors=[Start()])
    async with opened as deployment:
        yield Installation(deployment, file, http)


async def statuses(installation: Installation, app_id: str, headers: Mapping[str, str]) -> set[int]:
    """The statuses of a send to each command-api."""
    replies = [await installation.send(app_id, headers, url) for url in installation.command_apis]
    return {reply.status_code for reply in replies}


async def test_a_suspended_app_sends_nothing_and_has_no_gateways(installation: Installation, app_id: str):
    other, headers = f"{app_id}-other", bearer([app_id, f"{app_id}-other"])
    sent = (await installation.send(app_id, headers)).json()["data"]
    async with (
        connect(installation.nodes[-1], app_id, "g", additional_headers=headers) as gateway,
        connect(installation.nodes[-1], other, "g", additional_headers=headers) as untouched,
    ):
        await gateway.wait_for_code(2000)
        await untouched.wait_for_code(2000)
        await installation.declare({app_id: {"suspended": True}})
        assert await gateway.wait_closed() == 4403

        async def is_refused_everywhere() -> bool:
            return await statuses(installation, app_id, headers) == {403}

        await wait_until(is_refused_everywhere, interval=0.05)
        refused = (await installation.send(app_id, headers)).json()
        assert refused["code"] == 40301
        assert "suspended" in refused["message"]
        notice = {"appId": app_id, "groupId": "g", "userId": "u", "title": "t", "content": "c"}
        assert (await installation.post(NOTICE, notice, headers)).status_code == 403

        async def is_denied_everywhere() -> bool:
            return {await installation.upgrade(app_id, headers, url) for url in installation.nodes} == {403}

        await wait_until(is_denied_everywhere, interval=0.05)

        # Who looks after the app can still read what was sent, and take it back.
        recall = {"appId": app_id, "messageId": sent["messageId"]}
        assert (await installation.post(RECALL, recall, headers)).status_code == 200
        assert (await installation.history(app_id, headers)).status_code == 200

        assert (await installation.send(other, headers)).status_code == 200
        await untouched.wait_for_code(2001)
        await installation.declare({})

        async def is_let_in_again() -> bool:
            return await statuses(installation, app_id, headers) == {200}

        await wait_until(is_let_in_again, interval=0.05)


@pytest.mark.parametrize(
    ("marks", "revocation"),
    [
        ({"jti": "lost"}, {"jti": "lost"}),
        ({"sub": "backend-7"}, {"subject": "backend-7"}),
        ({"iat": 1_700_000_000}, {"issued_before": datetime.fromtimestamp(1_700_000_001, UTC)}),
    ],
)
async def test_a_revoked_token_is_worth_nothing_and_its_gateways_are_closed(
    installation: Installation, app_id: str, marks: dict[str, Any], revocation: dict[str, Any]
):
    kept = bearer(app_id, jti="kept", sub="backend-8", iat=int(time.time()))
    others: dict[str, Any] = {"jti": "other", "sub": "other", "iat": int(time.time())}
    revoked = {"Authorization": f"Bearer {token(app_id, EVERY_SCOPE, 600, **others | marks)}"}
    assert await statuses(installation, app_id, revoked) == {200}
    async with (
        connect(installation.nodes[-1], app_id, "revoked", additional_headers=revoked) as gateway,
        connect(installation.nodes[-1], app_id, "kept", additional_headers=kept) as untouched,
    ):
        await gateway.wait_for_code(2000)
        await untouched.wait_for_code(2000)
        await installation.declare({}, revoked=[revocation])
        assert await gateway.wait_closed() == 4401

        async def is_refused_everywhere() -> bool:
            return (
                await statuses(installation, app_id, revoked) == {401}
                and (await installation.history(app_id, revoked)).status_code == 401
            )

        await wait_until(is_refused_everywhere, interval=0.05)
        assert await statuses(installation, app_id, kept) == {200}
        await untouched.wait_for_code(2001)


async def test_one_app_revokes_a_token_that_others_still_take(installation: Installation, app_id: str):
    other = f"{app_id}-other"
    headers, for_all = bearer([app_id, other], sub="shared"), bearer("*", sub="shared")
    await installation.declare({app_id: {"revoked": [{"subject": "shared"}]}})

    async def is_refused_everywhere() -> bool:
        return await statuses(installation, app_id, headers) == {403}

    await wait_until(is_refused_everywhere, interval=0.05)
    assert await statuses(installation, other, headers) == {200}
    # Which apps a token for all was made for is not known: it is not taken anywhere.
    assert await statuses(installation, other, for_all) == {401}


async def test_an_app_has_a_recall_window_of_its_own(installation: Installation, app_id: str):
    headers = bearer(app_id)

    await installation.declare({app_id: {"recall_window_seconds": 1}})

    async def is_too_late() -> bool:
        """Whether a message of more than a second ago can't be recalled. By default it could."""
        sent = (await installation.send(app_id, headers)).json()["data"]

        def is_old_enough() -> bool:
            return time.time() * 1000 > sent["createTime"] + 1100

        await wait_until(is_old_enough)
        recall = {"appId": app_id, "messageId": sent["messageId"]}
        reply = await installation.post(RECALL, recall, headers)
        assert reply.status_code == 200 or "within 1 seconds" in reply.json()["message"]
        if reply.json()["code"] != 40902:
            return False
        by_java = await installation.post("/chat/message/recall", recall, headers)
        assert (by_java.status_code, by_java.json()) == (200, {**reply.json(), "code": -1})
        return True

    await wait_until(is_too_late)


async def test_a_file_that_can_not_be_used_leaves_the_old_content_and_is_shown(
    installation: Installation, app_id: str
):
    await installation.declare({app_id: {"suspended": True}})

    async def is_suspended() -> bool:
        return await statuses(installation, app_id, bearer(app_id)) == {403}

    await wait_until(is_suspended, interval=0.05)
    installation.file.write("[apps.a.quotas]\ngateways = -1")

    async def is_shown_everywhere() -> bool:
        return set(await installation.stale()) == {1.0}

    await wait_until(is_shown_everywhere, interval=0.05)
    answers = [answer for answer in await installation.ready() if "warnings" in answer[1]]
    assert len(answers) == len(await installation.stale())
    for status, answer in answers:
        assert status == 200
        [warning] = answer["warnings"]
        assert warning.startswith("apps file: apps.toml can't be used, its older content stays")
        assert "apps.a.quotas.gateways" in warning
    assert await is_suspended()
    await installation.declare({})

    async def is_mended() -> bool:
        return set(await installation.stale()) == {0.0}

    await wait_until(is_mended, interval=0.05)
    assert not any("warnings" in answer for _, answer in await installation.ready())
