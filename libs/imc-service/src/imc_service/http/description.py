"""The description of all calls of an application, as people and generators of clients read it best.

FastAPI describes each use of a body anew, and gives all envelopes the same title. Generators make classes of
titles and methods of operations, so here each has a short name of its own.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

from fastapi import FastAPI
from imc_contracts.envelope import Failure, JavaFailure
from imc_contracts.field_guide import EXAMPLES, MEANINGS
from imc_contracts.fields import INT64_MAX
from pydantic import TypeAdapter

from imc_service.auth.middleware import OPEN_PATHS
from imc_service.http import java_door

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_TAGS = {
    ("/v1/commands/",): ("commands", "Send and recall messages, publish and delete notices."),
    ("/v1/queries/",): ("queries", "Read messages, notices and groups."),
    ("/v1/gateways",): ("gateways", "Find the push-node that a gateway belongs to; see who is connected."),
    ("/v1/apps", "/v1/installation", "/v1/dead-letters"): ("operators", "Watch and mend the installation."),
    java_door.PREFIXES: (
        "Java door",
        "For clients of the Java version: these calls answer as that one does.",
    ),
    ("/",): ("operations", "What orchestrators and Prometheus ask."),
}
"""The tag of a call and its description, by how the path begins."""

_BY_REFERENCE = {"Failure": Failure, "JavaFailure": JavaFailure}
"""The schemas that routes refer to; see `imc_service.http.openapi`."""

_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
_UNUSED_STATUS = "422"
"""FastAPI describes these, but bad input is answered with a `Failure` and 400."""


def describe(app: FastAPI, *, needs_token: bool) -> None:
    """Let ``app`` describe itself as `finished` says."""
    build = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = finished(build(), needs_token=needs_token)
        return app.openapi_schema

    app.openapi = openapi


def finished(document: Json, *, needs_token: bool) -> Json:
    """A document of FastAPI's, changed in place: short unique names, and each body described once.

    ``needs_token`` tells whether calls need one, except those of operations.
    Raises `ValueError` if two operations or two schemas would get the same name.
    """
    schemas: Json = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _UNUSED_SCHEMAS:
        schemas.pop(name, None)
    for path, call in _calls(document):
        _describe_call(path, call)
        for content in call.get("requestBody", {}).get("content", {}).values():
            content["schema"] = _moved_to(schemas, content["schema"])
    _check_unique([call["operationId"] for _, call in _calls(document)])
    for name, model in _BY_REFERENCE.items():
        if any(each.get("$ref") == _SCHEMAS + name for each in _mappings_in(document)):
            schemas.setdefault(name, TypeAdapter(model).json_schema())
    _name_schemas(document)
    if needs_token:
        _describe_tokens(document)
    used = {tag for _, call in _calls(document) for tag in call["tags"]}
    document["servers"] = [{"url": "/", "description": "The origin of this description."}]
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.values() if name in used]
    return document


def _calls(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for call in methods.values():
            yield path, call


def _describe_call(path: str, call: Json) -> None:
    """Give a call its tag, and the first sentence of its description as the summary."""
    call["responses"].pop(_UNUSED_STATUS, None)
    call["tags"] = [next(name for prefixes, (name, _) in _TAGS.items() if path.startswith(prefixes))]
    if "description" in call:
        call["summary"] = re.split(r"\.(?:\s|$)", call["description"], maxsplit=1)[0]


def _describe_tokens(document: Json) -> None:
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    document["components"]["securitySchemes"] = {"bearer": bearer}
    for path, call in _calls(document):
        if path not in OPEN_PATHS:
            call["security"] = [{"bearer": []}]


def _name_schemas(document: Json) -> None:
    """Give each schema a title of its own, which is its name too."""
    schemas: Json = document["components"]["schemas"]
    renamed = {name: _schema_name(name) for name in schemas}
    _check_unique(list(renamed.values()))
    document["components"]["schemas"] = {
        renamed[name]: {**schema, "title": renamed[name]} for name, schema in schemas.items()
    }
    for schema in _mappings_in(document):
        _simplify(schema, renamed)


def _schema_name(name: str) -> str:
    """A name without the marks of a generic type: ``SendReceiptEnvelope`` for ``Envelope_SendReceipt_``."""
    generic, _, argument = name.partition("_")
    words = [word for word in argument.split("_") if word and word != "Union"]
    return "".join(word[0].upper() + word[1:] for word in words) + generic


def _moved_to(schemas: Json, schema: Json) -> Json:
    """A reference to ``schema``, which is put among the named ones, with all named schemas in it."""
    for mapping in _mappings_in(schema):
        for key in ("items", "additionalProperties"):
            part = mapping.get(key)
            if isinstance(part, dict) and "title" in part and "properties" in part:
                mapping[key] = _moved_to(schemas, cast("Json", part))
    name = schema["title"]
    if schemas.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas are called {name}: rename one")
    return {"$ref": _SCHEMAS + name}


def _simplify(schema: Json, renamed: dict[str, str]) -> None:
    """Apply the new names, and drop what makes generators write code that means nothing."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schema["$ref"] = _SCHEMAS + renamed[reference.removeprefix(_SCHEMAS)]
    properties = schema.get("properties")
    if isinstance(properties, dict):
        if isinstance(text := schema.get("description"), str):
            schema["description"] = text.replace("``", "`")
        for name, each in cast("dict[str, Json]", properties).items():
            each.pop("title", None)
            _settle(each)
            _explain(name, each)
    _bound(schema)


def _bound(schema: Json) -> None:
    """Write bounds as integers. FastAPI makes floats of them, which rounds the largest up."""
    if "integer" in schema.get("type", ()):
        for key in ("minimum", "maximum"):
            if key in schema:
                schema[key] = min(int(schema[key]), INT64_MAX)


def _settle(schema: Json) -> None:
    """Give what may be null a list of types, which generators read as an optional field."""
    choices = cast("list[Json]", schema.get("anyOf", []))
    kept = [choice for choice in choices if choice.get("type") != "null"]
    if len(choices) == 2 and len(kept) == 1 and "type" in kept[0]:
        del schema["anyOf"]
        schema |= {**kept[0], "type": [kept[0]["type"], "null"]}


def _explain(name: str, schema: Json) -> None:
    """Add the meaning of a field and an example, unless it refers to a schema that has them."""
    if "$ref" in schema:
        return
    if "description" not in schema:
        schema["description"] = MEANINGS[name]
    if name in EXAMPLES and "examples" not in schema:
        schema["examples"] = [EXAMPLES[name]]


def _check_unique(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"several calls or schemas are called {', '.join(twice)}: rename them")


def _mappings_in(node: Any) -> Iterator[Json]:
    """All objects in a document, from the outermost inwards."""
    if isinstance(node, dict):
        yield cast("Json", node)
        for value in list(cast("Json", node).values()):
            yield from _mappings_in(value)
    elif isinstance(node, list):
        for entry in cast("list[Any]", node):
            yield from _mappings_in(entry)
