"""Reads the query parameters of a call, and describes them for OpenAPI. Unknown parameters are ignored."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.field_guide import EXAMPLES
from imc_contracts.fields import RULES
from imc_contracts.validation import parse_fields
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from imc_service.http.openapi import field_description


class Parameters(BaseModel):
    """Parameters with camelCase names on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


Model = TypeVar("Model", bound=Parameters)


def read_query(request: Request, model: type[Model], rules: Mapping[str, str] = RULES) -> Model:
    """Read the parameters of ``request``; ``rules`` describe their bounds.

    Of a repeated parameter the last value counts. An empty value counts as absent.
    Raises `Refused` (`INVALID_FIELD`).
    """
    given = _decoded(request.scope["query_string"])
    return parse_fields(model, {name: value for name, value in given.items() if value}, rules=rules)


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
    properties = model.model_json_schema()["properties"]
    return {"parameters": [_described(name, field, rules) for name, field in properties.items()]}


def _described(name: str, field: dict[str, Any], rules: Mapping[str, str]) -> dict[str, Any]:
    is_optional = "default" in field
    [schema] = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
    schema = {key: value for key, value in schema.items() if key not in ("title", "description", "examples")}
    if field.get("default") is None:
        schema.pop("default", None)
    return {
        "name": name,
        "in": "query",
        "required": not is_optional,
        "description": field_description(name, field.get("description"), rules),
        "example": field["examples"][0] if "examples" in field else EXAMPLES[name],
        # An empty value counts as absent, so a required parameter must not be empty.
        **({"allowEmptyValue": True} if is_optional else {}),
        "schema": schema,
    }
