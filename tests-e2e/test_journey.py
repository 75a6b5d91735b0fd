"""Tests the main features, from requests to pushes and history, through whole installations."""

import asyncio
from typing import Any

TRICKY = (
    "quotes \" ' backslash \\ \\n newline \n tab \t NUL \x00 emoji 😀 U+2028 \u2028 "
    "percent %s ? {} </script> 中文 é e\u0301"
)


async def test_a_message_reaches_every_gateway_and_the_history(client: Any, app_id: str):
    async with (
        client.gateway(app_id, "g1", node=0) as one,
        client.gateway(app_id, "g2", node=1) as two,
        client.gateway(app_id + "x", "g1", node=0) as other_app,
    ):
        for gateway in (one, two, other_app):
            first = (await gateway.wait_for_code(2000))[0]
            assert gateway.frames[0] is first
            assert first["success"] is True
            assert first["data"] == "connection successful"
            assert first["recovered"] is False
        receipt = await client.send(app_id, TRICKY, type="7")
        expected = {
            "messageId": receipt["messageId"],
            "appId": app_id,
            "groupId": "g",
            "userId": "u",
            "content": TRICKY,
            "createTime": receipt["createTime"],
            "recallTime": 0,
            "recallCause": None,
            "status": 1,
            "type": 7,
        }
        for gateway in (one, two):
            push = (await gateway.wait_for_code(2001))[0]
            assert push["data"] == expected
            assert push["cursor"] == receipt["cursor"]
        assert await client.history(app_id, total=1) == [expected]
        assert [frame["code"] for frame in other_app.frames] == [2000]


async def test_all_gateways_get_the_same_order_and_the_history_is_complete(client: Any, app_id: str):
    async with (
        client.gateway(app_id, "g1", node=0) as one,
        client.gateway(app_id, "g2", node=1) as two,
    ):
        await asyncio.gather(one.wait_for_code(2000), two.wait_for_code(2000))
        await asyncio.gather(*(client.send(app_id, str(n)) for n in range(100)))
        pushes = [await gateway.wait_for_code(2001, 100) for gateway in (one, two)]
        assert pushes[0] == pushes[1]
        stored = await client.history(app_id, total=100)
        assert sorted(message["content"] for message in stored) == sorted(
            push["data"]["content"] for push in pushes[0]
        )
        assert len({message["messageId"] for message in stored}) == 100


async def test_a_gateway_can_send_as_with_the_java_version(client: Any, app_id: str):
    """Plain frames without cursor and clientMessageId, integers as strings. A valid send gets no reply."""
    async with client.gateway(app_id, "old", node=0) as old, client.gateway(app_id, "new", node=1) as new:
        await asyncio.gather(old.wait_for_code(2000), new.wait_for_code(2000))
        body = {"appId": app_id, "groupId": "g", "userId": "u", "content": TRICKY, "type": "1"}
        await old.send_json(body)
        for gateway in (old, new):
            push = (await gateway.wait_for_code(2001))[0]
            assert push["data"]["content"] == TRICKY
            assert push["data"]["type"] == 1
        assert [frame["code"] for frame in old.frames] == [2000, 2001]


async def test_a_gateways_frames_keep_their_order_and_are_acknowledged(client: Any, app_id: str):
    async with client.gateway(app_id, "g1") as gateway:
        await gateway.wait_for_code(2000)
        for n in range(0, 90, 3):
            await gateway.send_json({"groupId": "g", "userId": "u", "content": str(n)})
            await gateway.send_json(
                [
                    {"groupId": "g", "userId": "u", "content": str(n + k), "clientMessageId": f"c{n + k}"}
                    for k in (1, 2)
                ]
            )
        pushes = await gateway.wait_for_code(2001, 90)
        assert [push["data"]["content"] for push in pushes] == [str(n) for n in range(90)]
        receipts = await gateway.wait_for_code(2003, 60)
        ids = {push["data"]["content"]: push["data"]["messageId"] for push in pushes}
        for receipt in receipts:
            data = receipt["data"]
            assert data["messageId"] == ids[data["clientMessageId"].removeprefix("c")]
            assert data["duplicate"] is False


async def test_a_client_message_id_is_recognized_over_http_websocket_and_batch(client: Any, app_id: str):
    async with client.gateway(app_id, "g1") as gateway:
        await gateway.wait_for_code(2000)
        first = await client.send(app_id, "once", clientMessageId="same")
        again = await client.send(app_id, "once", clientMessageId="same")
        assert again == {**first, "duplicate": True}
        body = {"groupId": "g", "userId": "u", "content": "once", "clientMessageId": "same"}
        await gateway.send_json(body)
        receipt = (await gateway.wait_for_code(2003))[0]["data"]
        assert receipt == {
            "clientMessageId": "same",
            "messageId": first["messageId"],
            "createTime": first["createTime"],
            "duplicate": True,
        }
        batch = await client.post("/v1/commands/send-messages", {"messages": [{"appId": app_id, **body}]})
        assert batch["data"] == [{**first, "duplicate": True}]
        other = await client.post(
            "/v1/commands/send-message", {"appId": app_id, **body, "content": "another"}
        )
        assert (other["success"], other["code"], other["data"]) == (False, 40904, None)
        await gateway.send_json({**body, "content": "another"})
        refused = (await gateway.wait_for_code(4001))[0]
        assert refused["data"] == {"error": 40904, "retryable": False, "clientMessageId": "same"}
        assert len(await client.history(app_id, total=1)) == 1
        assert len(gateway.with_code(2001)) == 1


async def test_an_invalid_message_does_not_affect_the_rest_of_its_batch(client: Any, app_id: str):
    good = {"appId": app_id, "groupId": "g", "userId": "u", "content": "good"}
    reply = await client.post(
        "/v1/commands/send-messages",
        {"messages": [good, {**good, "groupId": " g"}, {**good, "appId": app_id + "2"}, 7]},
    )
    answers = reply["data"]
    assert reply["success"] is True
    assert [("messageId" in answer, answer.get("code")) for answer in answers] == [
        (True, None),
        (False, 40001),
        (True, None),
        (False, 40001),
    ]
    assert answers[1]["message"].startswith("messages[1].groupId ")
    assert answers[1]["data"] is None
    assert len(await client.history(app_id, total=1)) == 1
    assert len(await client.history(app_id + "2", total=1)) == 1


async def test_a_message_is_recalled_at_once_everywhere(client: Any, app_id: str):
    async with client.gateway(app_id, "g1", node=1) as gateway:
        await gateway.wait_for_code(2000)
        sent = await client.send(app_id, "a secret")
        reply = await client.post(
            "/v1/commands/recall-message",
            {"appId": app_id, "messageId": sent["messageId"], "recallCause": "typo"},
        )
        assert reply["code"] == 0, reply
        recalled = reply["data"]
        assert (recalled["content"], recalled["status"], recalled["recallCause"]) == ("", 0, "typo")
        # The recall can be read at once, even if the send was not projected yet.
        found = await client.get("/chat/message/findByGroupId", appId=app_id, groupId="g")
        assert found["data"]["pageMessageList"] == [recalled]
        push = (await gateway.wait_for_code(2002))[0]
        assert push["data"] == recalled
        assert [frame["code"] for frame in gateway.frames] == [2000, 2001, 2002]
        again = await client.post(
            "/v1/commands/recall-message", {"messageId": sent["messageId"], "appId": app_id}
        )
        assert again["code"] == 40901
        foreign = await client.post(
            "/v1/commands/recall-message", {"messageId": sent["messageId"], "appId": app_id + "x"}
        )
        assert (foreign["code"], foreign["message"]) == (40401, "no message has this messageId")
        assert await client.history(app_id, total=1) == [recalled]


async def test_only_one_of_many_simultaneous_recalls_succeeds(client: Any, app_id: str):
    sent = await client.send(app_id, "oops")
    body = {"appId": app_id, "messageId": sent["messageId"]}
    replies = await asyncio.gather(*(client.post("/v1/commands/recall-message", body) for _ in range(10)))
    assert sorted(reply["code"] for reply in replies) == [0] + [40901] * 9


async def test_a_resumed_gateway_gets_no_recalled_content(client: Any, app_id: str):
    async with client.gateway(app_id, "g1", node=0) as gateway:
        await gateway.wait_for_code(2000)
        before = await client.send(app_id, "seen")
        await gateway.wait_for_code(2001)
        cursor = gateway.cursor
        assert cursor == before["cursor"]
    missed = [await client.send(app_id, f"missed {n}") for n in range(20)]
    await client.post("/v1/commands/recall-message", {"appId": app_id, "messageId": missed[3]["messageId"]})
    async with client.gateway(app_id, "g1", node=1, cursor=cursor) as gateway:
        assert (await gateway.wait_for_code(2000))[0] | {"message": ""} == {
            "success": True,
            "code": 2000,
            "message": "",
            "data": "connection successful",
            "cursor": cursor,
            "recovered": True,
        }
        await client.send(app_id, "live")
        await gateway.wait_for_code(2001, 21)
        contents = [push["data"]["content"] for push in gateway.with_code(2001)]
        assert contents == [*(f"missed {n}" if n != 3 else "" for n in range(20)), "live"]
        assert [frame["code"] for frame in gateway.frames] == [2000] + [2001] * 20 + [2002, 2001]
        assert gateway.with_code(2002)[0]["data"]["messageId"] == missed[3]["messageId"]


async def test_a_cursor_of_another_log_gets_a_gap(client: Any, app_id: str):
    first = await client.send(app_id, "one")
    async with client.gateway(app_id, "g1", cursor="abcdef.1700000000000-0") as gateway:
        gap = (await gateway.wait_for_code(4002))[0]
        assert gateway.frames[0]["code"] == 2000
        assert gateway.frames[0]["recovered"] is False
        assert gap["data"]["from"] == "abcdef.1700000000000-0"
        await client.send(app_id, "two")
        # From the announced end of the gap on, nothing is missing.
        pushes = await gateway.wait_for_code(2001, 2)
        assert [push["data"]["content"] for push in pushes] == ["one", "two"]
        epoch, _, place = gap["data"]["to"].partition(".")
        assert epoch == first["cursor"].partition(".")[0]
        assert [int(part) for part in place.split("-")] < [
            int(part) for part in first["cursor"].partition(".")[2].split("-")
        ]


async def test_a_newer_connection_of_a_gateway_replaces_the_older(client: Any, app_id: str):
    async with client.gateway(app_id, "same", node=0) as older:
        await older.wait_for_code(2000)
        async with client.gateway(app_id, "same", node=1) as newer:
            await newer.wait_for_code(2000)
            assert await older.wait_closed() == 4409
            await client.send(app_id, "to the newer")
            await newer.wait_for_code(2001)
            assert newer.close_code is None


async def test_notices_reach_only_gateways_that_ask_for_them(client: Any, app_id: str):
    async with (
        client.gateway(app_id, "asks", node=0, notices=True) as asks,
        client.gateway(app_id, "plain", node=1) as plain,
    ):
        await asyncio.gather(asks.wait_for_code(2000), plain.wait_for_code(2000))
        body = {
            "appId": app_id,
            "groupId": "g",
            "userId": "u",
            "title": "T",
            "content": TRICKY,
            "jumpUrl": "game://hall/7",
        }
        created = (await client.post("/v1/commands/publish-notice", body))["data"]
        # It can be read as soon as it is acknowledged.
        found = await client.get("/notice/information/findByGroupId", appId=app_id, groupId="g")
        notice = found["data"]["pageInformationList"][0]
        assert found["data"]["total"] == 1
        assert notice == {
            **body,
            "informationId": created["informationId"],
            "createTime": created["createTime"],
            "deleteTime": 0,
            "status": 1,
            "type": None,
        }
        assert (await asks.wait_for_code(2004))[0]["data"] == notice
        deletion = {"appId": app_id, "informationId": created["informationId"]}
        deleted = await client.post("/v1/commands/delete-notice", deletion)
        assert deleted["data"]["status"] == 0
        assert (await asks.wait_for_code(2005))[0]["data"] == deleted["data"]
        found = await client.get("/notice/information/findByGroupId", appId=app_id, groupId="g")
        assert found["data"] == {"total": 0, "pageInformationList": []}
        again = await client.post("/v1/commands/delete-notice", deletion)
        assert again["code"] == 40903
        await client.send(app_id, "after")
        await plain.wait_for_code(2001)
        assert [frame["code"] for frame in plain.frames] == [2000, 2001]


async def test_a_notice_is_published_once_for_its_client_message_id(client: Any, app_id: str):
    body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "news", "clientMessageId": "n1"}
    async with client.gateway(app_id, "asks", notices=True) as gateway:
        await gateway.wait_for_code(2000)
        first = await client.post("/v1/commands/publish-notice", body)
        assert set(first["data"]) == {"informationId", "createTime", "cursor", "duplicate"}
        assert first["data"]["duplicate"] is False
        again = await client.post("/v1/commands/publish-notice", body)
        assert again["data"] == {**first["data"], "duplicate": True}
        for changed in ({"title": "T"}, {"jumpUrl": "app://x"}, {"content": "more"}, {"type": 1}):
            other = await client.post("/v1/commands/publish-notice", {**body, **changed})
            assert (other["success"], other["code"], other["data"]) == (False, 40904, None)
        as_message = await client.post("/v1/commands/send-message", body)
        assert as_message["code"] == 40904
        other_app = await client.post("/v1/commands/publish-notice", {**body, "appId": app_id + "x"})
        assert other_app["data"]["duplicate"] is False
        await client.send(app_id, "after")
        await gateway.wait_for_code(2001)
        assert [frame["code"] for frame in gateway.frames] == [2000, 2004, 2001]
    deletion = {"appId": app_id, "informationId": first["data"]["informationId"]}
    assert (await client.post("/v1/commands/delete-notice", deletion))["code"] == 0
    assert (await client.post("/v1/commands/publish-notice", body))["data"]["duplicate"] is True
    # What is deleted stays deleted.
    found = await client.get("/notice/information/findByGroupId", appId=app_id, groupId="g")
    assert found["data"]["pageInformationList"] == []


async def test_the_groups_of_a_user_are_found(client: Any, app_id: str):
    for group, user in [("a", "ann"), ("b", "ann"), ("a", "bob"), ("c", "bob"), ("a", "ann")]:
        last = await client.send(app_id, f"{user} in {group}", groupId=group, userId=user)
    await client.history(app_id, "a", total=3)
    await client.history(app_id, "b", total=1)
    groups = (await client.get("/chat/group/findGroupListByUserId", appId=app_id, userId="ann"))["data"]
    assert [(group["groupId"], group["messageTotal"]) for group in groups] == [("a", 3), ("b", 1)]
    assert groups[0]["newMessage"]["messageId"] == last["messageId"]
    assert groups[0]["updateTime"] == last["createTime"]


async def test_history_is_found_by_user_and_around_a_message(client: Any, app_id: str):
    sent = [await client.send(app_id, str(n), userId="ann" if n % 2 else "bob") for n in range(10)]
    await client.history(app_id, total=10)
    by_user = await client.get(
        "/chat/message/findByUserId", appId=app_id, userId="ann", pageSize=2, pageNum=2
    )
    assert by_user["data"]["total"] == 5
    assert [m["content"] for m in by_user["data"]["pageMessageList"]] == ["5", "7"]
    both = {"appId": app_id, "groupId": "g", "userId": "bob"}
    numbered = await client.get("/chat/message/findByGroupIdAndUserId", **both)
    assert numbered["data"]["total"] == 5
    assert [m["content"] for m in numbered["data"]["pageMessageList"]] == ["0", "2", "4", "6", "8"]
    newest = await client.get("/v1/queries/messages", **both, limit=3)
    assert (newest["data"]["total"], newest["data"]["hasMore"]) == (None, True)
    assert newest["data"]["messages"] == numbered["data"]["pageMessageList"][2:]
    one = await client.get("/v1/queries/message", appId=app_id, messageId=sent[5]["messageId"])
    assert one["data"]["content"] == "5"
    around = {"appId": app_id, "groupId": "g", "messageId": sent[5]["messageId"], "pageSize": "3"}
    before = await client.get("/chat/message/findBeforeByMessageId", **around)
    after = await client.get("/chat/message/findAfterByMessageId", **around)
    assert [m["content"] for m in before["data"]] == ["2", "3", "4"]
    assert [m["content"] for m in after["data"]] == ["6", "7", "8"]
