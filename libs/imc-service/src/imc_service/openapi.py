"""Descriptions for OpenAPI of what the routes read and refuse by themselves."""

from typing import Any, cast

from imc_contracts.envelope import Failure
from pydantic import BaseModel

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "40001: a field is missing, malformed or out of bounds."},
    404: {"model": Failure, "description": "40401, 40402: there is no such message or notice."},
    409: {"model": Failure, "description": "40901 to 40904: it is in a state that does not allow this."},
    413: {"model": Failure, "description": "41301: the body is over the limit."},
    415: {"model": Failure, "description": "41500: the media type is not read here."},
    500: {"model": Failure, "description": "50001: our fault."},
    503: {"model": Failure, "description": "50301: nothing was accepted; `Retry-After` says when to retry."},
}
"""What any call may answer besides success, for ``responses=``."""


def json_body(model: type[BaseModel], *media_types: str, required: bool = True) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads ``model`` from its body by itself.

    ``media_types`` are those it reads besides JSON.
    """
    schema = _inlined(model.model_json_schema(mode="validation"))
    content = {media_type: {"schema": schema} for media_type in ("application/json", *media_types)}
    return {"requestBody": {"required": required, "content": content}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without references: it stands inside a document whose references begin elsewhere."""
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
