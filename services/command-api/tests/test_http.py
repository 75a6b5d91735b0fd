"""The HTTP edge of the command side: what it describes, and how it reads batches."""

import json
from typing import Any

import pytest
from imc_command_api.app import create_app
from imc_command_api.http.v1.messages import parse_batch
from imc_command_api.settings import CommandApiSettings
from imc_contracts.commands import SendMessage
from imc_contracts.errors import Refused
from imc_service.settings import load
from imc_testkit.tokens import OFF

GOOD = {"appId": "a", "groupId": "g", "userId": "u", "content": "c"}


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    settings = load(
        CommandApiSettings,
        {**OFF, "IMC_REDIS_URL": "redis://nowhere", "IMC_DATABASE_URL": "mysql://nowhere/imc"},
    )
    return create_app(settings).openapi()


ANY = {"200", "400", "401", "403", "413", "415", "500", "503"}
FIELDS = ["appId", "groupId", "userId", "content"]


@pytest.mark.parametrize(
    ("path", "body", "required", "beside"),
    [
        ("/v1/commands/send-message", "SendMessage", FIELDS, {"409", "429"}),
        ("/v1/commands/send-messages", "SendMessageBatch", ["messages"], set[str]()),
        ("/v1/commands/recall-message", "RecallMessage", ["appId", "messageId"], {"404", "409", "429"}),
        ("/v1/commands/publish-notice", "PublishNotice", FIELDS, {"409", "429"}),
        ("/v1/commands/delete-notice", "DeleteNotice", ["appId", "informationId"], {"404", "409", "429"}),
        ("/chat/message/create", "JavaSendMessage", FIELDS[:3], {"429"}),
        ("/chat/message/recall", "JavaRecallMessage", ["messageId"], {"429"}),
        ("/notice/information/create", "JavaPublishNotice", FIELDS[:3], {"429"}),
        ("/notice/information/delete", "JavaDeleteNotice", ["informationId"], {"429"}),
    ],
)
def test_every_call_is_described_with_its_body_and_refusals(
    description: dict[str, Any], path: str, body: str, required: list[str], beside: set[str]
):
    call = description["paths"][path]["post"]
    schema = call["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": f"#/components/schemas/{body}"}
    assert description["components"]["schemas"][body]["required"] == required
    assert set(call["responses"]) == ANY | beside
    code = "4" if path.startswith("/v1/") else "-1: "
    assert call["responses"]["400"]["description"].startswith(code)


def test_the_largest_pause_of_a_batch_is_its_header(description: dict[str, Any]):
    replies = description["paths"]["/v1/commands/send-messages"]["post"]["responses"]
    assert "Retry-After" in replies["200"]["headers"]


def test_operations_are_described_too(description: dict[str, Any]):
    assert {"/livez", "/readyz", "/metrics"} <= set(description["paths"])


def test_a_good_batch_is_read_in_one_pass():
    messages = parse_batch(json.dumps({"messages": [GOOD, {**GOOD, "content": "d"}]}).encode())
    assert [message.content for message in messages if isinstance(message, SendMessage)] == ["c", "d"]


def test_a_bad_message_is_refused_in_its_place():
    messages = parse_batch(json.dumps({"messages": [GOOD, {**GOOD, "userId": ""}, 7, GOOD]}).encode())
    assert [type(message) for message in messages] == [SendMessage, Refused, Refused, SendMessage]
    refused = [message.message for message in messages if isinstance(message, Refused)]
    assert refused[0].startswith("messages[1].userId is not valid")
    assert refused[1].startswith("messages[2] is not a JSON object")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"messages": []}', b'{"messages": 7}', b"\xff"])
def test_what_is_no_batch_is_refused_whole(body: bytes):
    with pytest.raises(Refused):
        parse_batch(body)
