"""Reads the query parameters of a call, and describes them for OpenAPI. Unknown parameters are ignored."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.fields import INT32_MAX, RULES, AppId
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_fields
from imc_service.auth.middleware import grant_in
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

EXAMPLES: dict[str, Any] = {
    "appId": "shop",
    "groupId": "support-42",
    "userId": "alice",
    "messageId": "2000000000000000001",
    "before": "2000000000000000001",
    "after": "2000000000000000001",
    "startTime": 1_796_169_600_000,
    "endTime": 1_796_256_000_000,
    "limit": 50,
    "withTotal": True,
    "deleted": True,
    "pageNum": 1,
    "pageSize": 20,
}
"""An example of each parameter."""


class Parameters(BaseModel):
    """Parameters with camelCase names on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")

    app_id: AppId


Model = TypeVar("Model", bound=Parameters)


def read(
    request: Request, model: type[Model], rules: Mapping[str, str] = RULES, scope: Scope = Scope.READ
) -> Model:
    """Read the parameters of ``request``; ``rules`` describe their bounds.

    Of a repeated parameter the last value counts. An empty value counts as absent.
    Raises `Refused`: `INVALID_FIELD`, or `FORBIDDEN` if the grant of the request does not allow calls of the
    kind ``scope`` for their app.
    """
    given = _decoded(request.scope["query_string"])
    asked = parse_fields(model, {name: value for name, value in given.items() if value}, rules=rules)
    grant_in(request.scope).require(scope, asked.app_id)
    return asked


def _decoded(query: bytes) -> dict[str, str]:
    try:
        text = query.decode()
        # `Request.query_params` would take longer than all that is read from it. Without escapes, splitting
        # takes a third of the time of `parse_qsl`.
        if "%" in text or "+" in text:
            return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise Refused(ErrorCode.INVALID_FIELD, "the query is not UTF-8, or its escapes are not") from None
    return {name: value for name, _, value in (part.partition("=") for part in text.split("&"))}


def described(model: type[Parameters], rules: Mapping[str, str] = RULES) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads ``model`` from its query."""
    # The serialization schema of a number is a number. In a query, its text looks the same.
    properties = model.model_json_schema(mode="serialization")["properties"]
    return {"parameters": [_described(name, field, rules[name]) for name, field in properties.items()]}


def _described(name: str, field: dict[str, Any], rule: str) -> dict[str, Any]:
    is_optional = "default" in field
    meaning = f"{field['description']} " if "description" in field else ""
    [schema] = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
    schema = {key: value for key, value in schema.items() if key not in ("title", "description")}
    if field.get("default") is None:
        schema.pop("default", None)
    if schema["type"] == "integer":
        schema["format"] = "int64" if schema["maximum"] > INT32_MAX else "int32"
    return {
        "name": name,
        "in": "query",
        "required": not is_optional,
        "description": f"{meaning}Format: {rule}.",
        "example": EXAMPLES[name],
        # An empty value counts as absent, so a required parameter must not be empty.
        **({"allowEmptyValue": True} if is_optional else {}),
        "schema": schema,
    }
