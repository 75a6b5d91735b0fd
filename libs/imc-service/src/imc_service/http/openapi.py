"""What routes say of themselves for OpenAPI beyond what FastAPI sees: bodies, refusals, names."""

from collections.abc import Mapping
from typing import Any, cast

from fastapi.routing import APIRoute
from imc_contracts.field_guide import MEANINGS
from imc_contracts.fields import RULES
from pydantic import BaseModel

from imc_service.http import java_door

Replies = dict[int | str, dict[str, Any]]
"""The replies of a route by their status, for ``responses=``."""

ANY_CALL: Mapping[int, str] = {
    400: "40001: a field is missing, malformed or out of bounds.",
    401: "40101: the token is missing or not valid.",
    403: "40301: the token does not cover this app or this action.",
    500: "50001: our fault.",
    503: "50301: nothing was accepted; `Retry-After` says when to retry.",
}
"""What any call may be refused with: the code of v1, and its meaning."""

COMMAND_WITHOUT_QUOTA: Mapping[int, str] = {
    **ANY_CALL,
    413: "41301: the body is over the limit.",
    415: "41500: the media type is not read here.",
}
"""What a command may be refused with, if no quota refuses it as a whole."""

COMMAND: Mapping[int, str] = {
    **COMMAND_WITHOUT_QUOTA,
    429: "42901: the quota of the app is used up; `Retry-After` says when to retry.",
}
"""What any command may be refused with."""

QUERY: Mapping[int, str] = {
    **ANY_CALL,
    503: "50301: the database is out of reach; `Retry-After` says when to retry.",
}
"""What any query may be refused with."""

RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to retry.",
        "schema": {"type": "integer", "format": "int32", "minimum": 0},
    }
}
"""The header of replies to what can succeed later."""

_RETRYABLE = (429, 503)


def v1_replies(refusals: Mapping[int, str]) -> Replies:
    """The replies of a call of v1, with ``refusals`` by their status."""
    failed = {status: _refusal(status, words, "Failure") for status, words in refusals.items()}
    return {200: {"description": "It was carried out."}, **failed}


def java_replies(refusals: Mapping[int, str], *, business: str | None = None) -> Replies:
    """The replies of a call of the Java door, where each refusal has the code -1.

    ``business`` says what the call refuses with status 200.
    """
    done = "It was carried out."
    if business is not None:
        done = f"It was carried out, or {business}: then `success` is false, `code` -1 and `data` null."
    failed = {
        status: _refusal(status, f"-1: {words.partition(': ')[2]}", "JavaFailure")
        for status, words in refusals.items()
    }
    return {200: {"description": done}, **failed}


def _refusal(status: int, words: str, schema: str) -> dict[str, Any]:
    # By reference: FastAPI would build a validator for the model of each call, a fifth of the start.
    # `imc_service.http.description` adds the schema.
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    headers = {"headers": RETRY_AFTER} if status in _RETRYABLE else {}
    return {"description": words, "content": content, **headers}


def json_body(model: type[BaseModel], *media_types: str, required: bool = True) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads ``model`` from its body.

    It reads ``media_types`` besides JSON.
    """
    schema = _inlined(model.model_json_schema(mode="validation"))
    content = {media_type: {"schema": schema} for media_type in ("application/json", *media_types)}
    return {"requestBody": {"required": required, "content": content}}


def field_description(name: str, meaning: str | None = None, rules: Mapping[str, str] = RULES) -> str:
    """What a field or parameter means, and the bound of ``rules`` that it must keep."""
    return f"{meaning or MEANINGS[name]} Format: {rules[name]}."


def operation_id(route: APIRoute) -> str:
    """The name of a call, for methods of generated clients: that of its function, with its door."""
    words = [word.capitalize() for word in route.name.split("_")]
    name = "".join(["Java", *words] if java_door.has_path(route.path_format) else words)
    return name[0].lower() + name[1:]


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without references, which would point elsewhere inside another document.

    Its fields get their descriptions.
    """
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(entry) for entry in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        mapping = cast("dict[str, Any]", node)
        if "$ref" in mapping:
            return resolve(definitions[mapping["$ref"].rpartition("/")[2]])
        for name, field in mapping.get("properties", {}).items():
            field["description"] = field_description(name)
        return {key: resolve(value) for key, value in mapping.items()}

    return resolve(schema)
