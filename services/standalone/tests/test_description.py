"""The description of all calls: one document, with names that generators make good clients of."""

import re
from collections.abc import Iterator
from typing import Any, cast

import imc_command_api.http
import imc_push_node.http
import imc_query_api.http
import pytest
from fastapi import FastAPI
from imc_service.settings import load
from imc_standalone.app import create_app
from imc_standalone.description import for_generators
from imc_standalone.settings import StandaloneSettings, load_parts
from imc_testkit.tokens import OFF

Json = dict[str, Any]


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
        app.include_router(service.routes())
        own = {(path, method) for path, methods in app.openapi()["paths"].items() for method in methods}
        assert own
        assert own <= {(path, method) for path, methods in document["paths"].items() for method in methods}


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


def test_whole_numbers_have_64_bits(document: Json):
    numbers = [each for each in objects(document) if "integer" in each.get("type", ())]
    assert len(numbers) > 10
    assert [each for each in numbers if each.get("format") != "int64"] == []


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
    assert document["components"]["schemas"]["Failure"]["properties"]["data"]["type"] == ["object", "null"]
    schemas = document["components"]["schemas"].values()
    fields = [field for schema in schemas for field in schema["properties"].values()]
    assert [field for field in fields if field.get("type") == "null"] == []


def test_each_call_has_one_tag_that_is_described(document: Json):
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tuple(call["tags"]) for call in calls(document)} == {(name,) for name in described}


def test_two_calls_of_one_name_are_refused():
    app = FastAPI()

    @app.get("/v1/a")
    @app.get("/v1/b")
    async def one() -> str: ...  # pyright: ignore[reportUnusedFunction]

    document = {**app.openapi(), "components": {"schemas": {}}}
    with pytest.raises(ValueError, match="one"):
        for_generators(document)


def test_two_bodies_of_one_name_are_refused():
    def call(name: str, field: str) -> Json:
        schema = {"title": "Body", "type": "object", "properties": {field: {"type": "string"}}}
        content = {"application/json": {"schema": schema}}
        return {"post": {"operationId": name, "responses": {}, "requestBody": {"content": content}}}

    document = {"paths": {"/v1/a": call("a", "x"), "/v1/b": call("b", "y")}, "components": {"schemas": {}}}
    with pytest.raises(ValueError, match="Body"):
        for_generators(document)
