"""What operators see of a whole installation, and do to it: every process with a Redis and a database."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from imc_contracts import names
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.gateway import connect
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.tokens import JWT, bearer
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

POLICIES = """
apps.quiet.quotas.sends_per_second = 0
apps.demo.quotas = { sends_per_second = 1000, gateways = 10 }
apps.page-3.suspended = true
"""
EVERY_CALL = (
    ("GET", "/v1/apps"),
    ("GET", "/v1/installation"),
    ("GET", "/v1/installation/activity"),
    ("GET", "/v1/dead-letters"),
    ("POST", "/v1/dead-letters/replay"),
    ("POST", "/v1/dead-letters/drop"),
)


@pytest.fixture(scope="module")
async def redis_server() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as server:
        yield server


@pytest.fixture(scope="module")
async def installation(
    redis_server: PrivateRedis, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Deployment]:
    apps_file = tmp_path_factory.mktemp("apps") / "apps.toml"
    apps_file.write_text(POLICIES)
    env = {**JWT, "IMC_APPS_FILE": str(apps_file)}
    async with separate(
        redis_server.url, database_url, env, command_apis=[Start()], projectors=[Start()]
    ) as deployment:
        yield deployment


class Operator:
    """Calls with a token of an operator, of all apps or of some."""

    def __init__(self, installation: Deployment, http: httpx.AsyncClient) -> None:
        self.command_api = installation.command_apis[0].url
        self._http = http

    async def call(self, method: str, path: str, token: dict[str, str], **options: Any) -> httpx.Response:
        headers = token or {"Authorization": ""}
        return await self._http.request(method, self.command_api + path, headers=headers, **options)

    async def get(self, path: str, app: Any = "*", **query: Any) -> dict[str, Any]:
        reply = (await self.call("GET", path, bearer(app, "operate"), params=query)).json()
        assert reply["success"], reply
        return reply["data"]

    async def post(self, path: str, body: Any) -> dict[str, Any]:
        reply = (await self.call("POST", path, bearer(scope="operate"), json=body)).json()
        assert reply["success"], reply
        return reply["data"]

    async def send(self, app_id: str, count: int = 1, user_id: str = "u") -> list[int]:
        """The codes of sends."""
        body = {"appId": app_id, "groupId": "g", "userId": user_id, "content": "c"}
        path, token = "/v1/commands/send-message", bearer(scope="send")
        return [(await self.call("POST", path, token, json=body)).json()["code"] for _ in range(count)]


@pytest.fixture
def operator(installation: Deployment, http: httpx.AsyncClient) -> Operator:
    return Operator(installation, http)


async def test_every_process_announces_itself(installation: Deployment, operator: Operator):
    async def found() -> dict[str, Any] | None:
        data = await operator.get("/v1/installation")
        return (
            data if len(data["processes"]) == 5 and all(each["ready"] for each in data["processes"]) else None
        )

    data = await wait_until(found)
    assert data is not None
    assert [each["name"] for each in data["processes"]] == [
        "imc-command-api",
        "imc-projector",
        "imc-push-node",
        "imc-push-node",
        "imc-query-api",
    ]
    ports = {process.url.rpartition(":")[2] for process in installation.processes}
    assert {each["address"].rpartition(":")[2] for each in data["processes"]} == ports
    assert len({each["id"] for each in data["processes"]}) == 5
    assert all(each["reasons"] == {} for each in data["processes"])
    assert all(each["version"] == data["version"] for each in data["processes"])
    assert all(each["startedAt"] <= each["lastSeen"] for each in data["processes"])
    assert (data["redis"]["ready"], data["redis"]["isCluster"], len(data["redis"]["masters"])) == (
        True,
        False,
        1,
    )
    assert data["redis"]["masters"][0]["usedMemoryBytes"] > 0
    assert (data["database"]["ready"], data["database"]["kind"]) == (True, "mysql")
    assert "MariaDB" in data["database"]["version"]


async def test_what_apps_do_is_counted(installation: Deployment, operator: Operator):
    async with connect(
        installation.push_nodes[0].url, "demo", "gateway", additional_headers=bearer("demo")
    ) as gateway:
        await gateway.wait_for_code(2000)
        assert await operator.send("demo", 20) == [0] * 20
        assert await operator.send("quiet", 5) == [42901] * 5
        await gateway.wait_for_code(2001, 20)

        async def found() -> dict[str, Any] | None:
            data = await operator.get("/v1/apps")
            noisy = [each for each in data["apps"] if each["appId"] == "demo"]
            # 20 sends, of a time between one and two minutes; a process tells what it counted once a second.
            rates = ("sendsPerSecond", "pushesPerSecond")
            is_counted = noisy and all(noisy[0][rate] >= 20 / 120 for rate in rates)
            return noisy[0] if is_counted and noisy[0]["gateways"] == 1 else None

        app = await wait_until(found, 60)
    assert app is not None
    assert app["sendsPerSecond"] <= 20 / 60
    assert app["pushesPerSecond"] <= 20 / 60
    assert (app["sendsRefusedPerSecond"], app["backlogEntries"], app["deadLetters"]) == (0, 0, 0)
    assert app["quotas"] == {
        "sendsPerSecond": 1000.0,
        "sendBurst": 1000,
        "gateways": 10,
        "backlogBytes": None,
    }
    of_demo = (await operator.get("/v1/installation/activity", app="demo", appId="demo"))["minutes"]
    assert len(of_demo) == 60
    assert sum(minute["sends"] for minute in of_demo) == 20
    assert sum(minute["pushes"] for minute in of_demo) == 20
    assert {minute["backlogEntries"] for minute in of_demo} == {None}
    times = [minute["time"] for minute in of_demo]
    assert times == list(range(times[0], times[-1] + 1, 60_000))

    async def quiet() -> list[dict[str, Any]]:
        minutes = (await operator.get("/v1/installation/activity", appId="quiet", minutes=3))["minutes"]
        return minutes if sum(minute["sendsRefused"] for minute in minutes) == 5 else []

    of_quiet = await wait_until(quiet)
    assert [minute["time"] for minute in of_quiet] in (
        times[-3:],
        [*times[-2:], times[-1] + 60_000],  # a minute may have begun
    )
    of_all = (await operator.get("/v1/installation/activity"))["minutes"]
    assert sum(minute["sends"] for minute in of_all) >= 20
    timed = [minute for minute in of_all if minute["sendMsP50"] is not None]
    assert timed
    assert all(0 < minute["sendMsP50"] <= minute["sendMsP99"] for minute in timed)
    assert timed[-1]["time"] % 60_000 == 0


async def test_apps_come_in_pages_in_both_orders(operator: Operator):
    app_ids = [f"page-{number}" for number in range(7) if number != 3]
    for app_id in app_ids:
        await operator.send(app_id)
    for order in ("id", "noisiest"):
        seen, after, more = list[str](), "", True
        while more:
            query = {"order": order, "limit": 3, **({"after": after} if after else {})}
            page = await operator.get("/v1/apps", **query)
            assert len(page["apps"]) <= 3
            seen += [each["appId"] for each in page["apps"]]
            after, more = page["next"], page["hasMore"]
        assert set(app_ids) <= set(seen)
        if order == "id":
            assert seen == sorted(set(seen))
    some = await operator.get("/v1/apps", app=["page-3", "page-5"], order="id")
    assert [(each["appId"], each["isSuspended"]) for each in some["apps"]] == [
        ("page-3", True),
        ("page-5", False),
    ]


async def test_dead_letters_are_listed_replayed_and_dropped(
    operator: Operator, redis_server: PrivateRedis, installation: Deployment, http: httpx.AsyncClient
):
    message = (
        b'{"messageId":"%d","appId":"letters-%d","groupId":"g","userId":"u","content":"private words",'
        b'"createTime":1795954740000,"recallTime":0,"recallCause":null,"status":1,"type":null}'
    )
    async with Redis.from_url(redis_server.url) as redis:
        for app in (1, 2):
            app_id = f"letters-{app}"
            await operator.send(app_id)
            for number, body in enumerate((message % (number + 7, app) for number in range(3)), 1):
                fields = {"k": "s", "v": body, "id": f"100{number}-0", "reason": "why", "time": 7}
                await redis.xadd(names.dead_letters(app_id), fields)  # pyright: ignore
            await redis.xadd(names.dead_letters(app_id), {"k": "?", "v": "no json", "id": "1004-0"})
    seen, after, more = list[dict[str, Any]](), "", True
    while more:
        page = await operator.get("/v1/dead-letters", limit=3, **({"after": after} if after else {}))
        assert "private" not in str(page)
        seen += page["letters"]
        after, more = page["next"], page["hasMore"]
    assert [(each["appId"], each["kind"]) for each in seen] == [
        (f"letters-{app}", kind) for app in (1, 2) for kind in ("send", "send", "send", "?")
    ]
    assert (seen[0]["logId"], seen[0]["reason"], seen[0]["time"]) == ("1001-0", "why", 7)
    own = await operator.get("/v1/dead-letters", app="letters-2")
    assert own["letters"] == seen[4:]
    ids = [each["letterId"] for each in own["letters"]]
    done = await operator.post(
        "/v1/dead-letters/replay", {"appId": "letters-2", "letterIds": [*ids[1:], "1-0"]}
    )
    assert done["done"] == 2
    assert [each["letterId"] for each in done["failed"]] == [ids[3], "1-0"]
    assert done["failed"][0]["reason"].startswith("MalformedEvent")
    reply = await http.get(
        installation.query_apis[0].url + "/v1/queries/message",
        params={"appId": "letters-2", "messageId": "8"},
        headers=bearer(scope="read"),
    )
    assert reply.json()["data"]["content"] == "private words"
    dropped = await operator.post(
        "/v1/dead-letters/drop", {"appId": "letters-2", "letterIds": [ids[0], ids[3]]}
    )
    assert dropped == {"done": 2, "failed": []}
    assert (await operator.get("/v1/dead-letters", appId="letters-2"))["letters"] == []
    assert len((await operator.get("/v1/dead-letters", appId="letters-1"))["letters"]) == 4


async def test_erasures_are_carried_out_and_listed(operator: Operator, installation: Deployment):
    for user in ("ann", "bob"):
        assert await operator.send("erased", user_id=user) == [0]
    accepted = [
        await operator.post(f"/v1/commands/erase-{kind}", {"appId": "erased", **subject})
        for kind, subject in (("user", {"userId": "ann"}), ("group", {"groupId": "g"}), ("app", {}))
    ]
    ids = [each["erasureId"] for each in accepted]

    async def are_done() -> bool:
        found = (await operator.get("/v1/erasures", appId="erased"))["erasures"]
        return len(found) == 3 and all(each["stage"] == "done" for each in found)

    await wait_until(are_done, 60)
    found = (await operator.get("/v1/erasures", appId="erased"))["erasures"]
    assert [each["erasureId"] for each in found] == ids[::-1]
    assert [(each["userId"], each["groupId"]) for each in found] == [(None, None), (None, "g"), ("ann", None)]
    assert [each["erasedMessages"] for each in reversed(found)] == [1, 1, 0]
    assert all(each["finishTime"] >= each["eraseTime"] for each in found)
    page = await operator.get("/v1/erasures", appId="erased", limit=2)
    rest = await operator.get("/v1/erasures", appId="erased", limit=2, after=page["next"])
    assert ([*page["erasures"], *rest["erasures"]], rest["hasMore"]) == (found, False)
    only = await operator.get("/v1/erasures", appId="erased", erasureId=ids[1])
    assert only["erasures"] == [found[1]]
    assert (await operator.get("/v1/erasures", appId="another"))["erasures"] == []


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("user", {"userId": "u"}, "appId is missing"),
        ("user", {"appId": "a"}, "userId is missing"),
        ("group", {"appId": "a", "groupId": " g"}, "groupId is not valid"),
        ("app", {"appId": ""}, "appId is not valid"),
    ],
)
async def test_a_malformed_erasure_is_named(operator: Operator, path: str, body: Any, words: str):
    reply = await operator.call("POST", f"/v1/commands/erase-{path}", bearer(scope="operate"), json=body)
    assert (reply.status_code, reply.json()["code"]) == (400, 40001)
    assert reply.json()["message"].startswith(words)


@pytest.mark.parametrize(("method", "path"), EVERY_CALL)
async def test_each_call_needs_its_scope(operator: Operator, method: str, path: str):
    body = {"json": {"appId": "demo", "letterIds": ["1-0"]}} if method == "POST" else {}
    others = bearer(scope="send recall notice read gateway")
    for token, status, code in ((others, 403, 40301), ({}, 401, 40101)):
        reply = await operator.call(method, path, token, **body)
        assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert (await operator.call(method, path, bearer(scope="operate"), **body)).status_code == 200


async def test_a_token_of_some_apps_sees_these_alone(operator: Operator):
    own = bearer("mine", "operate")
    for path, query in (
        ("/v1/installation", {}),
        ("/v1/installation/activity", {}),
        ("/v1/installation/activity", {"appId": "demo"}),
        ("/v1/dead-letters", {"appId": "demo"}),
        ("/v1/erasures", {"appId": "demo"}),
    ):
        reply = await operator.call("GET", path, own, params=query)
        assert (reply.status_code, reply.json()["code"]) == (403, 40301), path
    for path in ("/v1/dead-letters/replay", "/v1/dead-letters/drop"):
        reply = await operator.call("POST", path, own, json={"appId": "demo", "letterIds": ["1-0"]})
        assert (reply.status_code, reply.json()["code"]) == (403, 40301), path
    for kind, subject in (("user", {"userId": "u"}), ("group", {"groupId": "g"}), ("app", {})):
        body = {"appId": "demo", **subject}
        reply = await operator.call("POST", f"/v1/commands/erase-{kind}", own, json=body)
        assert (reply.status_code, reply.json()["code"]) == (403, 40301), kind
    assert (await operator.get("/v1/dead-letters", app="mine"))["letters"] == []
    assert [each["appId"] for each in (await operator.get("/v1/apps", app="mine"))["apps"]] == ["mine"]


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/v1/apps", {"order": "x"}, "order is not valid: it must be noisiest or id"),
        ("/v1/apps", {"limit": "501"}, "limit is not valid: it must be a whole number from 1 to 500"),
        ("/v1/apps", {"after": "%"}, "after is not valid: it must be the next of a page"),
        ("/v1/apps", {"after": "YQ"}, "after is not valid: it must be the next of a page"),
        ("/v1/dead-letters", {"after": "YQ"}, "after is not valid: it must be the next of a page"),
        ("/v1/dead-letters", {"after": "_w"}, "after is not valid: it must be the next of a page"),
        ("/v1/erasures", {}, "appId is missing"),
        ("/v1/erasures", {"appId": "a", "after": "YQ"}, "after is not valid: it must be the next of a page"),
        (
            "/v1/erasures",
            {"appId": "a", "erasureId": "x"},
            "erasureId is not valid: it must be the decimal id",
        ),
        ("/v1/dead-letters", {"appId": " x"}, "appId is not valid: it must be 1 to 127 characters"),
        ("/v1/installation/activity", {"minutes": "61"}, "minutes is not valid: it must be a whole number"),
    ],
)
async def test_a_malformed_query_is_named(operator: Operator, path: str, query: dict[str, str], words: str):
    reply = await operator.call("GET", path, bearer(scope="operate"), params=query)
    assert (reply.status_code, reply.json()["code"]) == (400, 40001)
    assert reply.json()["message"].startswith(words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"letterIds": ["1-0"]}, "appId is missing"),
        ({"appId": "a"}, "letterIds is missing: it must be a list of 1 to 100 letterIds"),
        ({"appId": "a", "letterIds": []}, "letterIds is empty"),
        ({"appId": "a", "letterIds": ["1-0"] * 101}, "letterIds has too many entries"),
        ({"appId": "a", "letterIds": ["1-0", "x"]}, "letterIds[1] is not valid: it must be a letterId"),
        ({"appId": "a", "letterIds": "1-0"}, "letterIds is not a list"),
    ],
)
async def test_a_malformed_choice_of_letters_is_named(operator: Operator, body: Any, words: str):
    for path in ("/v1/dead-letters/replay", "/v1/dead-letters/drop"):
        reply = await operator.call("POST", path, bearer(scope="operate"), json=body)
        assert (reply.status_code, reply.json()["code"]) == (400, 40001)
        assert reply.json()["message"].startswith(words)


async def test_redis_comes_and_goes(operator: Operator, redis_server: PrivateRedis):
    await redis_server.stop()
    for method, path in EVERY_CALL:
        body = {"json": {"appId": "demo", "letterIds": ["1-0"]}} if method == "POST" else {}
        reply = await operator.call(method, path, bearer(scope="operate"), **body)
        assert (reply.status_code, reply.json()["code"]) == (503, 50301), path
        assert int(reply.headers["Retry-After"]) > 0
    await redis_server.start()

    async def is_well_again() -> bool:
        replies = [
            await operator.call("GET", path, bearer(scope="operate"))
            for method, path in EVERY_CALL
            if method == "GET"
        ]
        return {reply.status_code for reply in replies} == {200}

    await wait_until(is_well_again, 20)
