"""docs/asyncapi.yaml describes the frames that a running installation writes and takes."""

import json
import re
import subprocess
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml
from imc_contracts.codes import PushCode
from imc_testkit.deployment import Deployment
from imc_testkit.gateway import Frame, connect, connect_at
from jsonschema import Draft202012Validator
from project_files import ROOT
from websockets.asyncio.client import connect as connect_websocket

from clients.toolchains import SOURCES, built, files_of

FILE = ROOT / "docs/asyncapi.yaml"
DOCUMENTS = ["gateways.md", "java.md"]
BODY = {"groupId": "lobby", "userId": "ann", "content": "hello"}
FRAMES = {
    PushCode.CONNECTED: "connected",
    PushCode.MESSAGE: "messageCreated",
    PushCode.MESSAGE_RECALLED: "messageRecalled",
    PushCode.SEND_ACKNOWLEDGED: "sendAcknowledged",
    PushCode.NOTICE_PUBLISHED: "noticePublished",
    PushCode.NOTICE_DELETED: "noticeDeleted",
    PushCode.ERASED: "erased",
    PushCode.GROUPS_HELD: "groupsHeld",
    PushCode.POSITION: "position",
    PushCode.NOT_CONNECTED: "notConnected",
    PushCode.FRAME_REFUSED: "frameRefused",
    PushCode.GAP: "gap",
}
JAVA_FRAMES = {
    PushCode.CONNECTED: "javaConnected",
    PushCode.MESSAGE: "javaMessageCreated",
    PushCode.MESSAGE_RECALLED: "javaMessageRecalled",
    PushCode.NOT_CONNECTED: "javaNotConnected",
    PushCode.FRAME_REFUSED: "javaFrameRefused",
}


@cache
def document() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def faults(message: str, value: Any) -> list[str]:
    """Where a frame is not as the document describes the named message."""
    schema = {**document(), "$ref": f"#/components/messages/{message}/payload"}
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)
    ]


def test_it_is_valid_asyncapi():
    folder = built(
        "asyncapi", files_of(SOURCES / "asyncapi"), fetch=[["npm", "install", "--no-audit", "--no-fund"]]
    )
    checked = subprocess.run(
        ["node", "validate.js", str(FILE)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr


def test_it_describes_every_frame_at_both_paths():
    assert FRAMES.keys() == set(PushCode)
    for channel, frames in (("gateway", FRAMES), ("javaGateway", JAVA_FRAMES)):
        described = document()["channels"][channel]["messages"].values()
        pushed = {each["$ref"].rpartition("/")[2] for each in described} - {"sendMessage", "sendMessages"}
        assert pushed - {"newToken", "changeGroups", "javaSendMessage"} == set(frames.values())
    for message in document()["components"]["messages"].values():
        Draft202012Validator.check_schema(message["payload"])


async def test_frames_of_v1_are_as_described(
    standalone_process: Deployment, http: httpx.AsyncClient, app_id: str
):
    url, commands = standalone_process.push_nodes[0].url, standalone_process.command_apis[0].url

    async def command(name: str, **body: Any) -> dict[str, Any]:
        reply = await http.post(f"{commands}/v1/commands/{name}", json={"appId": app_id, **body})
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    async with connect(url, app_id, "gateway-1", notices=True, cursor="0f0f0f0f0f0f.1-0") as gateway:
        await gateway.wait_for_code(PushCode.GAP)
        await gateway.websocket.send(json.dumps({**BODY, "clientMessageId": "c"}))
        await gateway.websocket.send(json.dumps([{**BODY, "type": 1}, {"userId": "ann"}]))
        await gateway.wait_for_code(PushCode.FRAME_REFUSED)
        await gateway.wait_for_code(PushCode.SEND_ACKNOWLEDGED)
        (pushed, _) = await gateway.wait_for_code(PushCode.MESSAGE, 2)
        await command("recall-message", messageId=pushed["data"]["messageId"], recallCause="typo")
        notice = await command("publish-notice", **BODY, title="Tonight", jumpUrl="https://example.com/")
        await command("delete-notice", informationId=notice["informationId"])
        await gateway.wait_for_code(PushCode.NOTICE_DELETED)
        async with connect_at(f"{url}/v1/gateways/{app_id}/gateway-2?groups=listed") as listed:
            await listed.websocket.send(json.dumps({"addGroups": ["another"]}))
            await listed.wait_for_code(PushCode.GROUPS_HELD)
            await command("send-message", **BODY)
            await listed.wait_for_code(PushCode.POSITION)
            await command("erase-user", userId="ann")
            await gateway.wait_for_code(PushCode.ERASED)
    frames = [
        *gateway.frames,
        *listed.frames,
        await refused_connection(f"{url}/v1/gateways/{app_id}/{'g' * 128}"),
    ]
    assert {frame["code"] for frame in frames} == FRAMES.keys()
    assert [(frame, found) for frame in frames if (found := faults(FRAMES[frame["code"]], frame))] == []


async def test_frames_of_the_java_version_are_as_described(
    standalone_process: Deployment, http: httpx.AsyncClient, app_id: str
):
    url = standalone_process.push_nodes[0].url
    path = f"{url.replace('http', 'ws', 1)}/chat/message/broadcast/{quote(app_id)}"
    async with connect_websocket(f"{path}/gateway-1", proxy=None) as socket:
        frames: list[Frame] = [json.loads(await socket.recv())]
        await socket.send(json.dumps({**BODY, "appId": app_id}))
        frames.append(json.loads(await socket.recv()))
        recall = {"messageId": frames[-1]["data"]["messageId"], "recallCause": "typo"}
        commands = standalone_process.command_apis[0].url
        assert (await http.post(f"{commands}/chat/message/recall", json=recall)).json()["success"]
        frames.append(json.loads(await socket.recv()))
        await socket.send(json.dumps({"appId": app_id, "userId": "ann"}))
        frames.append(json.loads(await socket.recv()))
    frames.append(await refused_connection(f"{url}/chat/message/broadcast/{quote(app_id)}/{'g' * 128}"))
    assert [frame["code"] for frame in frames] == [2000, 2001, 2002, 4001, 4000]
    assert [(frame, found) for frame in frames if (found := faults(JAVA_FRAMES[frame["code"]], frame))] == []


async def refused_connection(url: str) -> Frame:
    """The first frame of a connection that is refused."""
    async with connect_websocket(url.replace("http", "ws", 1), proxy=None) as socket:
        return json.loads(await socket.recv())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_frames_in_the_documents_are_as_described(name: str):
    frames = FRAMES if name == "gateways.md" else JAVA_FRAMES
    text = (ROOT / "docs" / name).read_text()
    shown = [json.loads(line) for line in re.findall(r'^\{"success".*\}$', text, re.MULTILINE)]
    pushed = [frame for frame in shown if frame["code"] in frames]
    assert pushed
    assert [(frame, found) for frame in pushed if (found := faults(frames[frame["code"]], frame))] == []


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        ("connected", {"recovered": None}),
        ("connected", {"success": False}),
        ("connected", {"code": 2001}),
        ("javaConnected", {"cursor": "0-1"}),
        ("javaConnected", {"message": "connected"}),
        ("messageCreated", {"data": {}}),
    ],
)
def test_a_difference_is_caught(message: str, changed: dict[str, Any]):
    frame = {"success": True, "code": 2000, "message": "success", "data": "connection successful"}
    if not message.startswith("java"):
        frame |= {"cursor": "a.1-0", "recovered": False}
    assert faults("javaConnected" if message.startswith("java") else "connected", frame) == []
    assert faults(message, {**frame, **changed}) != []
