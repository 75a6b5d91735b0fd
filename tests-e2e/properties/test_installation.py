"""Everything that clients and gateways do with an installation, in any order, against a plain model.

Real processes, a real Redis and a real MariaDB; each example has an app of its own.
"""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from imc_contracts import names
from imc_contracts.cursor import Cursor, EntryId
from imc_push_node.stream.log_reader import LogReader
from imc_service.redis.masters import Masters
from imc_testkit.deployment import Deployment
from imc_testkit.gateway import Gateway, connect
from imc_testkit.push_model import NEVER, ConnectionModel, LogModel, Moment
from imc_testkit.tokens import bearer
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry, Counter
from redis.asyncio import Redis

EXAMPLES = settings(
    max_examples=8,
    stateful_step_count=30,
    phases=[Phase.generate],
    deadline=None,
    derandomize=True,
    database=None,
)
"""The same examples in each run; none is made smaller, since that takes minutes with real processes."""

CRASHES = 3
"""In all: a node takes a second to start."""

Reply = dict[str, Any]
groups = st.sampled_from(["g", "G", "群"])
users = st.sampled_from(["u", "v"])
choices = st.integers(0, 99)


class Link:
    """One connection of a gateway; ``told`` has taken the first ``checked`` of its frames."""

    def __init__(
        self, gateway: Gateway, gateway_id: str, told: ConnectionModel, closing: contextlib.AsyncExitStack
    ) -> None:
        self.gateway = gateway
        self.gateway_id = gateway_id
        self.told = told
        self.closing = closing
        self.checked = 0
        self.is_newest = True


class Installation(RuleBasedStateMachine):
    """Each reply is compared at once; `settle` compares the history and the pushes."""

    crashes = 0

    def __init__(self, deployment: Deployment, redis_url: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.deployment = deployment
        self.app_id = f"app-{secrets.token_hex(6)}"
        self.http = httpx.AsyncClient(trust_env=False, timeout=20, headers=bearer(self.app_id))
        self.redis: Any = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
        self.turn = 0
        self.messages: list[Reply] = []
        self.bodies: dict[str, Reply] = {}
        self.receipts: dict[str, Reply] = {}
        self.recalled_at: dict[str, Moment] = {}
        self.notices: list[Reply] = []
        self.cursors: list[str] = []
        reader = LogReader(Masters(self.redis), Counter("skipped", "Skipped.", registry=CollectorRegistry()))
        unborn = self.run(reader.state(self.app_id)).epoch
        self.happened = LogModel(lambda: unborn)
        self.links: list[Link] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def now(self) -> Moment:
        self.turn += 1
        return Moment(self.turn, 0)

    def post(self, path: str, body: Reply) -> Reply:
        self.turn += 1
        processes = self.deployment.command_apis
        url = processes[self.turn % len(processes)].url
        return self.run(self.http.post(url + path, json=body)).json()

    async def get(self, path: str, **parameters: Any) -> Any:
        url = self.deployment.query_apis[0].url
        reply = await self.http.get(url + path, params={"appId": self.app_id, **parameters})
        return reply.json()["data"]

    async def stored(self, message: Reply) -> Reply:
        """The message as a query shows it."""
        page = await self.get("/chat/message/findByGroupId", groupId=message["groupId"], pageSize=500)
        of_message = [each for each in page["pageMessageList"] if each["messageId"] == message["messageId"]]
        assert len(of_message) == 1
        return of_message[0]

    # What clients do.

    def body(self, group: str, user: str) -> Reply:
        self.turn += 1
        own_id = f"own-{self.turn}"
        parties = {"appId": self.app_id, "groupId": group, "userId": user}
        body = {**parties, "content": f"text {self.turn}", "clientMessageId": own_id}
        self.bodies[own_id] = body
        return body

    def note(self, body: Reply, receipt: Reply) -> None:
        """Hold a receipt against what was sent, and remember both."""
        assert receipt["duplicate"] is False
        self.receipts[body["clientMessageId"]] = receipt
        self.cursors.append(receipt["cursor"])
        shown = {key: value for key, value in body.items() if key != "clientMessageId"}
        state = {"recallTime": 0, "recallCause": None, "status": 1, "type": None}
        ids = {"messageId": receipt["messageId"], "createTime": receipt["createTime"]}
        self.messages.append({**ids, **shown, **state})

    @rule(group=groups, user=users)
    def send(self, group: str, user: str) -> None:
        body = self.body(group, user)
        self.note(body, self.post("/v1/commands/send-message", body)["data"])

    @rule(group=groups, user=users, count=st.integers(2, 6))
    def send_batch(self, group: str, user: str, count: int) -> None:
        bodies = [self.body(group, user) for _ in range(count)]
        receipts = self.post("/v1/commands/send-messages", {"messages": bodies})["data"]
        for body, receipt in zip(bodies, receipts, strict=True):
            self.note(body, receipt)

    @precondition(lambda self: self.receipts)
    @rule(at=choices, is_same=st.booleans())
    def send_again(self, at: int, is_same: bool) -> None:
        own_id = chosen(list(self.receipts), at)
        body = self.bodies[own_id]
        if is_same:
            reply = self.post("/v1/commands/send-message", body)
            assert reply["data"] == {**self.receipts[own_id], "duplicate": True}
        else:
            reply = self.post("/v1/commands/send-message", {**body, "content": "another"})
            assert reply["code"] == 40904

    @precondition(lambda self: self.messages)
    @rule(at=choices, is_named=st.booleans())
    def recall(self, at: int, is_named: bool) -> None:
        message = chosen(self.messages, at)
        body = {"messageId": message["messageId"], "recallCause": "cause"}
        if is_named:
            reply = self.post("/v1/commands/recall-message", {"appId": self.app_id, **body})
        else:
            reply = self.post("/chat/message/recall", body)
        if message["status"] == 0:
            assert reply["code"] == (40901 if is_named else -1)
            return
        recalled = reply["data"] if is_named else self.run(self.stored(message))
        message |= {"status": 0, "content": "", "recallCause": "cause"}
        message["recallTime"] = recalled["recallTime"]
        assert recalled == message
        self.recalled_at[message["messageId"]] = self.now()

    @rule(group=groups, user=users)
    def publish_notice(self, group: str, user: str) -> None:
        self.turn += 1
        parties = {"appId": self.app_id, "groupId": group, "userId": user}
        body = {**parties, "content": f"notice {self.turn}", "title": "title"}
        receipt = self.post("/v1/commands/publish-notice", body)["data"]
        self.cursors.append(receipt.pop("cursor"))
        self.notices.append({**body, **receipt})

    @precondition(lambda self: self.notices)
    @rule(at=choices)
    def delete_notice(self, at: int) -> None:
        notice = chosen(self.notices, at)
        body = {"informationId": notice["informationId"], "appId": self.app_id}
        reply = self.post("/v1/commands/delete-notice", body)
        assert reply["code"] == (40903 if notice.get("is_deleted") else 0)
        notice["is_deleted"] = True

    # What gateways do.

    @rule(
        node=st.integers(0, 1), gateway=st.sampled_from("ab"), notices=st.booleans(), at=st.none() | choices
    )
    def connect(self, node: int, gateway: str, notices: bool, at: int | None) -> None:
        cursor = chosen(self.cursors, at) if at is not None and self.cursors else None
        offered = Cursor.parse(cursor) if cursor else None
        told = ConnectionModel(self.happened, offered, notices, self.now(), lambda _: NEVER, lambda _: False)
        nodes = self.deployment.push_nodes
        self.run(self.open(nodes[node % len(nodes)].url, gateway, cursor, notices, told))

    async def open(
        self, url: str, gateway_id: str, cursor: str | None, notices: bool, told: ConnectionModel
    ) -> None:
        closing = contextlib.AsyncExitStack()
        opening = connect(
            url, self.app_id, gateway_id, cursor, notices, additional_headers=bearer(self.app_id)
        )
        gateway = await closing.enter_async_context(opening)
        for link in self.links:
            link.is_newest = link.is_newest and link.gateway_id != gateway_id
        self.links.append(Link(gateway, gateway_id, told, closing))
        await gateway.wait_for_code(2000)

    @precondition(lambda self: self.links)
    @rule(at=choices)
    def disconnect(self, at: int) -> None:
        self.run(chosen(self.links, at).closing.aclose())

    @precondition(lambda self: Installation.crashes < CRASHES)
    @rule(node=st.integers(0, 1))
    def a_push_node_crashes(self, node: int) -> None:
        Installation.crashes += 1
        process = self.deployment.push_nodes[node]
        self.run(process.kill())
        self.run(process.start())
        self.run(process.ready())

    # What must hold.

    @rule()
    def settle(self) -> None:
        self.run(self.check_pushes())
        self.run(self.check_history())

    async def check_pushes(self) -> None:
        await wait_until(self.are_replaced, what="only the newest connection of each gateway to be open")
        await self.read_log()
        await wait_until(self.have_arrived, what="everything to be pushed")
        for link in self.links:
            frames = link.gateway.frames[link.checked :]
            link.checked += len(frames)
            for frame in frames:
                link.told.take(frame, self.now())
            assert not link.told.faults, link.told.faults
            if link.gateway.close_code is None:
                link.told.check_settled()

    def are_replaced(self) -> bool:
        return all(link.is_newest or link.gateway.close_code is not None for link in self.links)

    def have_arrived(self) -> bool:
        """Whether each open gateway was told of the newest of what it asked for."""
        return all(
            link.gateway.close_code is not None
            or link.told.reaches(Cursor.parse(link.gateway.cursor or ""), self.happened.end)
            for link in self.links
        )

    async def read_log(self) -> None:
        """Take over what the log has got since."""
        epoch = await self.redis.hget(names.log_state(self.app_id), "epoch")
        end = self.happened.end
        first = f"({end.entry}" if end else "-"
        for place, fields in await self.redis.xrange(names.log(self.app_id), first):
            prev = self.happened.end.entry if self.happened.end else EntryId(0, 0)
            entry = b"%b %b %b" % (place, fields[b"k"], fields[b"v"])
            self.happened.take(b"%b %b\n%b" % (epoch, str(prev).encode(), entry), NEVER)
        for message_id, moment in self.recalled_at.items():
            self.happened.recalls[message_id] = self.happened.recalls[message_id][0], moment

    async def check_history(self) -> None:
        ordered = sorted(self.messages, key=lambda each: (each["createTime"], int(each["messageId"])))
        for group in {message["groupId"] for message in ordered}:
            expected = [message for message in ordered if message["groupId"] == group]
            await self.check_pages("/chat/message/findByGroupId", expected, groupId=group)
        for user in {message["userId"] for message in ordered}:
            expected = [message for message in ordered if message["userId"] == user]
            await self.check_pages("/chat/message/findByUserId", expected, userId=user)
        await self.check_notices()

    async def check_pages(self, path: str, expected: list[Reply], **of: str) -> None:
        """Pages of three concatenate to the whole, and each knows its size."""

        async def is_projected() -> bool:
            page = await self.get(path, pageSize=1, **of)
            return page["total"] == len(expected)

        await wait_until(is_projected, what=f"{len(expected)} of {of} in the history")
        found: list[Reply] = []
        for number in range(1, len(expected) // 3 + 2):
            page = await self.get(path, pageNum=number, pageSize=3, **of)
            assert page["total"] == len(expected)
            found += page["pageMessageList"]
        assert found == expected

    async def check_notices(self) -> None:
        for group in {notice["groupId"] for notice in self.notices}:
            kept = [each for each in self.notices if each["groupId"] == group and not each.get("is_deleted")]
            page = await self.get("/notice/information/findByGroupId", groupId=group, pageSize=500)
            assert page["total"] == len(kept)
            found = [notice["informationId"] for notice in page["pageInformationList"]]
            assert found == [notice["informationId"] for notice in reversed(kept)]

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.run(self.close())
            self.loop.close()

    async def close(self) -> None:
        for link in self.links:
            await link.closing.aclose()
        await self.http.aclose()
        await self.redis.aclose()


def chosen(list_: list[Any], at: int) -> Any:
    """Counted from the newest."""
    return list_[-1 - at % len(list_)]


def test_an_installation(separate_processes: Deployment, redis_url: str):
    run(separate_processes, redis_url)


def test_a_push_that_is_lost_is_found(
    separate_processes: Deployment, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    """One in ten pushes vanishes on its way."""
    take, pushes = ConnectionModel.take, itertools.count(1)

    def take_most(told: ConnectionModel, frame: Reply, moment: Moment) -> None:
        if frame["code"] != 2001 or next(pushes) % 10:
            take(told, frame, moment)

    monkeypatch.setattr(ConnectionModel, "take", take_most)
    with pytest.raises(AssertionError, match=r"does not follow|got pushes up to"):
        run(separate_processes, redis_url)


def run(deployment: Deployment, redis_url: str) -> None:
    Installation.crashes = 0
    machine: Any = lambda: Installation(deployment, redis_url)  # noqa: E731
    run_state_machine_as_test(machine, settings=EXAMPLES)
