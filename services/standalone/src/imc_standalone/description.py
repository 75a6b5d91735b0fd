"""The description of all calls as one OpenAPI document, in the form that generators of clients read best.

FastAPI names operations and schemas after functions and types of ours, and describes each use of a body anew.
Generators make methods and classes of them, so here the names become short and unique.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any, cast

from fastapi import FastAPI

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_JAVA_DOOR = ("/chat/", "/notice/")
_TAGS = {
    ("/v1/commands/",): ("commands", "Send and recall messages, publish and delete notices."),
    ("/v1/queries/",): ("queries", "Read messages, notices and groups."),
    ("/v1/gateways/",): ("gateways", "Find the push-node that a gateway belongs to."),
    _JAVA_DOOR: ("Java version", "For clients of the Java version: these calls answer as that one does."),
    ("/",): ("operations", "What orchestrators and Prometheus ask."),
}
"""The tag of a call and its description, by how the path begins."""

_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
_UNUSED_STATUS = "422"
"""FastAPI describes these, but bad input is answered with `Failure` and 400."""


def describe(app: FastAPI) -> None:
    """Let ``app`` describe itself as `for_generators` says."""
    described = app.openapi

    def openapi() -> Json:
        return for_generators(described())

    app.openapi = openapi


def for_generators(document: Json) -> Json:
    """A copy of a document of FastAPI's with short unique names, and with each body described once.

    Raises `ValueError` if two operations or two schemas would get the same name.
    """
    document = copy.deepcopy(document)
    schemas: Json = document["components"]["schemas"]
    for name in _UNUSED_SCHEMAS:
        schemas.pop(name, None)
    for path, method, call in _calls(document):
        call["responses"].pop(_UNUSED_STATUS, None)
        call["operationId"] = _operation_id(path, method, call)
        call["tags"] = [next(name for prefixes, (name, _) in _TAGS.items() if path.startswith(prefixes))]
        for content in call.get("requestBody", {}).get("content", {}).values():
            content["schema"] = _moved_to(schemas, content["schema"], _prefix(path))
    _check_unique([call["operationId"] for _, _, call in _calls(document)])
    renamed = {name: _schema_name(name) for name in schemas}
    _check_unique(list(renamed.values()))
    document["components"]["schemas"] = {
        renamed[name]: {**schema, "title": renamed[name]} for name, schema in schemas.items()
    }
    for schema in _mappings_in(document):
        _simplify(schema, renamed)
    document["servers"] = [{"url": "/"}]
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.values()]
    return document


def _calls(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            yield path, method, call


def _prefix(path: str) -> str:
    return "Java" if path.startswith(_JAVA_DOOR) else ""


def _operation_id(path: str, method: str, call: Json) -> str:
    """The name that the call was given, or else that of its function, which FastAPI puts before the path."""
    name: str = call["operationId"]
    suffix = re.sub(r"\W", "_", f"{path}_{method}")
    if not name.endswith(suffix):
        return name
    words = name.removesuffix(suffix).split("_")
    name = "".join(word.capitalize() for word in (_prefix(path), *words))
    return name[0].lower() + name[1:]


def _schema_name(name: str) -> str:
    """A name without the marks of a generic type: ``SendReceiptEnvelope`` for ``Envelope_SendReceipt_``."""
    generic, _, argument = name.partition("_")
    words = [word for word in argument.split("_") if word and word != "Union"]
    return "".join(word[0].upper() + word[1:] for word in words) + generic


def _moved_to(schemas: Json, schema: Json, prefix: str) -> Json:
    """A reference to ``schema``, which is put among the named ones, with all named schemas in it."""
    for mapping in _mappings_in(schema):
        for key in ("items", "additionalProperties"):
            part = mapping.get(key)
            if isinstance(part, dict) and "title" in part and "properties" in part:
                mapping[key] = _moved_to(schemas, cast("Json", part), prefix)
    name = prefix + schema["title"]
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
        for name, each in cast("dict[str, Json]", properties).items():
            each.pop("title", None)
            _settle(name, each)
    if schema.get("type") in ("integer", ["integer", "null"]):
        schema["format"] = "int64"


def _settle(name: str, schema: Json) -> None:
    """Leave one type to a field that takes a number or its text: ids are texts, since they exceed 2^53.

    What may be null gets a list of types, which generators read as an optional field.
    """
    choices = cast("list[Json]", schema.get("anyOf", []))
    types = {choice.get("type") for choice in choices}
    if {"integer", "string"} <= types:
        other = "integer" if name.endswith("Id") else "string"
        choices = [choice for choice in choices if choice.get("type") != other]
    kept = [choice for choice in choices if choice.get("type") != "null"]
    if schema.get("type") == "null":
        # openapi-generator makes no class for what is nothing but null.
        schema["type"] = ["object", "null"]
    if len(kept) == 1 and "type" in kept[0]:
        del schema["anyOf"]
        is_nullable = "null" in types
        schema |= {**kept[0], "type": [kept[0]["type"], "null"] if is_nullable else kept[0]["type"]}


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
