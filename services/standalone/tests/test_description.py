"""The description of all calls: one document, with names that generators make good clients of."""

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import imc_command_api.app
import imc_command_api.http
import imc_command_api.projector.app
import imc_push_node.app
import imc_push_node.http
import imc_query_api.app
import imc_query_api.http
import pytest
from fastapi import FastAPI
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_push_node.settings import PushNodeSettings
from imc_query_api.settings import QueryApiSettings
from imc_service.http.routes import add_routes
from imc_service.settings import ServerSettings, load
from imc_standalone.app import create_app
from imc_standalone.settings import StandaloneSettings, load_parts
from imc_testkit.tokens import OFF

Json = dict[str, Any]

SERVICES: dict[str, tuple[Callable[[Any], FastAPI], type[ServerSettings]]] = {
    "command-api": (imc_command_api.app.create_app, CommandApiSettings),
    "projector": (imc_command_api.projector.app.create_app, ProjectorSettings),
    "query-api": (imc_query_api.app.create_app, QueryApiSettings),
    "push-node": (imc_push_node.app.create_app, PushNodeSettings),
}


@pytest.fixture(scope="module")
def document() -> Json:
    environment = {**OFF, "IMC_DATA_DIR": "none"}
    return create_app(load(StandaloneSettings, environment), load_parts(environment)).openapi()


def calls(document: Json) -> list[Json]:
    return [call for methods in document["paths"].values() for call in methods.values()]


def objects(node: Any) -> Iterator[Json]:
    """All objects in a document."""
    if isinstance(node, dict):
        yield cast("Json", node)
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for value in cast("list[Any]", list(values)):
        yield from objects(value)


def test_it_holds_every_call_of_every_service(document: Json):
    for service in (imc_command_api.http, imc_query_api.http, imc_push_node.http):
        app = FastAPI()
        add_routes(app, service.routes())
        own = {(path, method) for path, methods in app.openapi()["paths"].items() for method in methods}
        assert own
        assert own <= {(path, method) for path, methods in document["paths"].items() for method in methods}


@pytest.mark.parametrize("name", ["command-api", "projector", "query-api", "push-node"])
def test_a_service_describes_its_calls_as_standalone_does(document: Json, name: str):
    environment = {
        **OFF,
        "IMC_REDIS_URL": "redis://nowhere",
        "IMC_DATABASE_URL": "mysql://nowhere/imc",
        "IMC_COMMAND_API_URL": "http://nowhere",
    }
    create, settings = SERVICES[name]
    own = create(load(settings, environment)).openapi()
    assert own["paths"] == {path: document["paths"][path] for path in own["paths"]}
    schemas = document["components"]["schemas"]
    assert own["components"]["schemas"] == {each: schemas[each] for each in own["components"]["schemas"]}
    assert [tag for tag in document["tags"] if tag in own["tags"]] == own["tags"]


def test_operations_have_short_names_of_their_own(document: Json):
    names = [call["operationId"] for call in calls(document)]
    assert {"sendMessage", "sendMessages", "recallMessage", "queryMessages", "javaCreateMessage"} <= set(
        names
    )
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z][A-Za-z]{1,40}", name)] == []


def test_schemas_have_names_of_their_own(document: Json):
    schemas = document["components"]["schemas"]
    assert {"Message", "SendMessage", "JavaSendMessage", "SendReceiptEnvelope"} <= schemas.keys()
    assert [schema["title"] for schema in schemas.values()] == list(schemas)
    assert [name for name in schemas if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []


def test_every_reference_leads_to_a_schema_and_every_schema_is_used(document: Json):
    prefix = "#/components/schemas/"
    referred = {each["$ref"] for each in objects(document) if "$ref" in each}
    assert referred == {prefix + name for name in document["components"]["schemas"]}


def test_bodies_are_described_once(document: Json):
    for call in calls(document):
        for content in call.get("requestBody", {"content": {}})["content"].values():
            assert content["schema"].keys() == {"$ref"}


def test_whole_numbers_have_32_or_64_bits(document: Json):
    numbers = [each for each in objects(document) if "integer" in each.get("type", ())]
    assert len(numbers) > 10
    assert {each.get("format") for each in numbers} == {"int32", "int64"}
    bounds = [each[key] for each in numbers for key in ("minimum", "maximum") if key in each]
    assert {type(bound) for bound in bounds} == {int}
    assert max(bounds) == 2**63 - 1


def test_ids_are_texts_with_a_pattern(document: Json):
    for name in ("RecallMessage", "Message", "SendReceipt"):
        field = document["components"]["schemas"][name]["properties"]["messageId"]
        assert (field["type"], field["pattern"]) == ("string", "^[1-9][0-9]{0,18}$")


def test_every_field_and_parameter_is_explained_with_an_example(document: Json):
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"] or name.endswith("Body"), name
        for field, each in schema["properties"].items():
            assert "$ref" in each or each["description"], (name, field)
            assert "$ref" in each or "array" in each["type"] or field == "data" or each["examples"], (
                name,
                field,
            )
    for call in calls(document):
        for each in call.get("parameters", ()):
            assert each["description"].endswith("."), each
            assert "example" in each or "examples" in each["schema"], each


def test_calls_and_replies_are_explained_in_our_words(document: Json):
    for call in calls(document):
        assert call["description"].startswith(call["summary"] + ".")
        assert all(reply["description"] for reply in call["responses"].values())
    assert "Successful Response" not in str(document)


def test_the_java_door_has_no_fields_that_it_does_not_read(document: Json):
    schemas = document["components"]["schemas"]
    for name in ("JavaSendMessage", "JavaPublishNotice"):
        assert "clientMessageId" not in schemas[name]["properties"]
        assert "clientMessageId" in schemas[name.removeprefix("Java")]["properties"]
    assert schemas["JavaRecallMessage"]["properties"]["messageId"]["type"] == "string"
    assert "A number or a boolean is taken for the string" in schemas["JavaSendMessage"]["description"]


def test_what_the_java_door_refuses_with_200_is_described(document: Json):
    may_refuse = {
        path
        for path, methods in document["paths"].items()
        for call in methods.values()
        if "`code` -1 and `data` null" in call["responses"]["200"]["description"]
    }
    assert may_refuse == {
        "/chat/message/recall",
        "/notice/information/delete",
        "/chat/message/findBeforeByMessageId",
        "/chat/message/findAfterByMessageId",
    }
    schemas = document["components"]["schemas"]
    assert schemas["StrJavaAnswer"]["properties"]["data"]["type"] == ["string", "null"]
    assert schemas["ListMessageJavaAnswer"]["properties"]["data"]["type"] == ["array", "null"]


def test_health_checks_have_schemas(document: Json):
    ready = document["paths"]["/readyz"]["get"]["responses"]
    schemas = [ready[status]["content"]["application/json"]["schema"]["$ref"] for status in ("200", "503")]
    assert [schema.rpartition("/")[2] for schema in schemas] == ["Ready", "NotReady"]


def test_a_field_has_one_type(document: Json):
    schemas = document["components"]["schemas"]
    assert schemas["SendMessage"]["properties"]["type"]["type"] == ["integer", "null"]
    assert schemas["RecallMessage"]["properties"]["messageId"]["type"] == "string"
    unions = [
        (name, field)
        for name, schema in schemas.items()
        for field, each in schema["properties"].items()
        if any("$ref" not in choice for choice in each.get("anyOf", ()))
    ]
    assert unions == []


def test_no_field_is_nothing_but_null(document: Json):
    for name in ("Failure", "JavaFailure"):
        data = document["components"]["schemas"][name]["properties"]["data"]
        assert data["type"] == ["object", "null"]
    schemas = document["components"]["schemas"].values()
    fields = [field for schema in schemas for field in schema["properties"].values()]
    assert [field for field in fields if field.get("type") == "null"] == []


def test_each_call_has_one_tag_that_is_described(document: Json):
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tuple(call["tags"]) for call in calls(document)} == {(name,) for name in described}
