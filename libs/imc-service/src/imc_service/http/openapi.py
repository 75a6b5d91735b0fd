"""Descriptions for OpenAPI of bodies and refusals that FastAPI does not see."""

from typing import Any, cast

from fastapi import FastAPI
from imc_contracts.envelope import Failure
from pydantic import BaseModel

from imc_service.auth.middleware import OPEN_PATHS


def refusal(description: str) -> dict[str, Any]:
    """The description of a refusal, for ``responses=`` beside the 400 of `REFUSALS`."""
    # By reference: FastAPI would build a validator for the model of each call, a fifth of the start.
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}},
    }


REFUSALS: dict[int | str, dict[str, Any]] = {
    # Every call has this one. It makes FastAPI define the schema that `refusal` refers to.
    400: {"model": Failure, "description": "40001: a field is missing, malformed or out of bounds."},
    401: refusal("40101: the token is missing or not valid."),
    403: refusal("40301: the token does not cover this app or this action."),
    404: refusal("40401, 40402: there is no such message or notice."),
    409: refusal("40901 to 40904: it is in a state that does not allow this."),
    413: refusal("41301: the body is over the limit."),
    415: refusal("41500: the media type is not read here."),
    500: refusal("50001: our fault."),
    503: refusal("50301: nothing was accepted; `Retry-After` says when to retry."),
}
"""The refusals of any call, for ``responses=``."""


def json_body(model: type[BaseModel], *media_types: str, required: bool = True) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads ``model`` from its body.

    It reads ``media_types`` besides JSON.
    """
    schema = _inlined(model.model_json_schema(mode="validation"))
    content = {media_type: {"schema": schema} for media_type in ("application/json", *media_types)}
    return {"requestBody": {"required": required, "content": content}}


def describe_tokens(app: FastAPI) -> None:
    """Describe that calls of ``app`` need a token, except those of operations."""
    describe = app.openapi

    def with_tokens() -> dict[str, Any]:
        described = describe()
        schemes = described.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        for path, calls in described["paths"].items():
            for call in calls.values() if path not in OPEN_PATHS else ():
                call["security"] = [{"bearer": []}]
        return described

    app.openapi = with_tokens


def name_schemas(app: FastAPI) -> None:
    """Give each schema in the description of ``app`` a title of its own: generators make classes of them.

    FastAPI gives the envelopes of all replies the same title.
    """
    describe = app.openapi

    def with_titles() -> dict[str, Any]:
        described = describe()
        for name, schema in described.get("components", {}).get("schemas", {}).items():
            schema["title"] = name
        return described

    app.openapi = with_titles


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without references, which would point elsewhere inside another document."""
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(entry) for entry in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        mapping = cast("dict[str, Any]", node)
        if "$ref" in mapping:
            return resolve(definitions[mapping["$ref"].rpartition("/")[2]])
        return {key: resolve(value) for key, value in mapping.items()}

    return resolve(schema)
