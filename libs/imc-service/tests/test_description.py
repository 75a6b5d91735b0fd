"""The description of an application: its names, its refusals, and what FastAPI adds that is not so."""

from typing import Any

import pytest
from fastapi import FastAPI
from imc_contracts.envelope import Envelope
from imc_service.http.description import finished
from imc_service.http.openapi import ANY_CALL, java_replies, json_body, operation_id, v1_replies
from pydantic import BaseModel

Json = dict[str, Any]


class Body(BaseModel):
    title: str
    limit: int = 1


def described(*paths: str, needs_token: bool = False) -> Json:
    """The description of an application whose calls are named after the end of their path."""
    app = FastAPI(generate_unique_id_function=operation_id)

    async def send_it(number: int = 0) -> None:
        """Send it. It may be of any app."""

    for path in paths:
        replies = java_replies(ANY_CALL, business="it is late") if "/chat/" in path else v1_replies(ANY_CALL)
        app.add_api_route(
            path,
            send_it,
            methods=["POST"],
            name=f"{path.rpartition('/')[2]}_it",
            response_model=Envelope[str],
            responses=replies,
            openapi_extra=json_body(Body),
        )
    return finished(app.openapi(), needs_token=needs_token)


def test_an_operation_is_named_after_its_function_and_its_door():
    paths = described("/v1/commands/send", "/chat/send")["paths"]
    assert [call["post"]["operationId"] for call in paths.values()] == ["sendIt", "javaSendIt"]


def test_the_first_sentence_is_the_summary():
    [call] = described("/v1/commands/send")["paths"].values()
    assert call["post"]["summary"] == "Send it"
    assert call["post"]["description"] == "Send it. It may be of any app."


def test_a_body_is_a_named_schema_whose_fields_are_explained():
    document = described("/v1/commands/send", "/chat/send")
    for call in document["paths"].values():
        body = call["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": "#/components/schemas/Body"}
    fields = document["components"]["schemas"]["Body"]["properties"]
    assert fields["title"]["description"].startswith(
        "The title of the notice. Format: at most 255 characters"
    )
    assert fields["title"]["examples"] == ["Opening hours"]


def test_refusals_bear_the_codes_of_their_door():
    document = described("/v1/commands/send", "/chat/send")
    v1, java = (call["post"]["responses"] for call in document["paths"].values())
    assert v1.keys() == java.keys() == {"200", "400", "401", "403", "500", "503"}
    assert v1["400"]["description"] == "40001: a field is missing, malformed or out of bounds."
    assert java["400"]["description"] == "-1: a field is missing, malformed or out of bounds."
    assert "it is late: then `success` is false, `code` -1 and `data` null" in java["200"]["description"]
    for replies, name in ((v1, "Failure"), (java, "JavaFailure")):
        schema = replies["503"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{name}"}
        assert "Retry-After" in replies["503"]["headers"]
    schemas = document["components"]["schemas"]
    assert schemas["Failure"]["properties"]["code"]["examples"] == [40001]
    assert schemas["JavaFailure"]["properties"]["code"]["examples"] == [-1]


def test_nothing_is_described_that_fastapi_adds_and_no_call_answers():
    document = described("/v1/commands/send")
    assert document["components"]["schemas"].keys() == {"Body", "Failure", "StrEnvelope"}
    assert "Successful Response" not in str(document)


def test_calls_need_a_token_except_those_of_operations():
    paths = described("/v1/commands/send", "/livez", needs_token=True)["paths"]
    assert paths["/v1/commands/send"]["post"]["security"] == [{"bearer": []}]
    assert "security" not in paths["/livez"]["post"]


def test_only_tags_in_use_are_listed():
    document = described("/v1/commands/send", "/chat/send")
    assert [tag["name"] for tag in document["tags"]] == ["commands", "Java door"]
    assert document["servers"][0]["url"] == "/"


def test_two_calls_of_one_name_are_refused():
    call = {"post": {"operationId": "sendIt", "responses": {}}}
    with pytest.raises(ValueError, match="sendIt"):
        finished({"paths": {"/v1/a": call, "/v1/b": call}}, needs_token=False)


def test_two_bodies_of_one_name_are_refused():
    def call(name: str, field: str) -> Json:
        schema = {"title": "Body", "type": "object", "properties": {field: {"type": "string"}}}
        content = {"application/json": {"schema": schema}}
        return {"post": {"operationId": name, "responses": {}, "requestBody": {"content": content}}}

    document = {"paths": {"/v1/a": call("a", "x"), "/v1/b": call("b", "y")}}
    with pytest.raises(ValueError, match="Body"):
        finished(document, needs_token=False)
