"""Reads requests, and refuses those that break a bound, naming the field and the bound."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.fields import RULES
from imc_contracts.structure import UNCOUNTED_BYTES, require_bounded

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

_PROBLEMS = {
    "missing": "is missing",
    "json_invalid": "is not valid JSON",
    "string_type": "is not a string",
    "string_too_long": "is too long",
    "too_long": "has too many entries",
    "too_short": "is empty",
    "list_type": "is not a list",
    "model_type": "is not a JSON object",
}


def parse_json(model: type[Model], body: bytes) -> Model:
    """Read a JSON document as ``model``.

    Raises `Refused` (`INVALID_FIELD`), whose message names the first field at fault and its bound. A document
    with more values than `imc_contracts.structure` allows is refused too.
    """
    if len(body) > UNCOUNTED_BYTES:  # checked here too: a call would cost short bodies noticeable time
        require_bounded(body)
    # Passing the options of `model_validate_json` and `model_validate` takes longer than reading a message.
    return _checked(model.__pydantic_validator__.validate_json, body)


def parse_fields(model: type[Model], fields: Any, *at: str | int, rules: Mapping[str, str] = RULES) -> Model:
    """Read decoded JSON, a form or query parameters as ``model``. Raises as `parse_json` does.

    ``at`` is the place of the fields in the request, if not its top: ``"messages", 3``. ``rules`` are
    the bounds of each field in words.
    """
    return _checked(model.__pydantic_validator__.validate_python, fields, at, rules)


def _checked(
    validate: Callable[[Any], T],
    value: Any,
    at: tuple[str | int, ...] = (),
    rules: Mapping[str, str] = RULES,
) -> T:
    try:
        return validate(value)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        raise Refused(ErrorCode.INVALID_FIELD, explain(errors, at, rules)) from None


def explain(errors: Sequence[Any], at: tuple[str | int, ...] = (), rules: Mapping[str, str] = RULES) -> str:
    """Describe the first of pydantic's errors as ``field problem: bound``.

    ``at`` and ``rules`` are as in `parse_fields`.

    The value is never repeated: it may be secret, or long.
    """
    error = errors[0]
    location = (*at, *error["loc"])
    problem = _PROBLEMS.get(error["type"], "is not valid")
    if error["type"] == "json_invalid":
        detail = str(error.get("ctx", {}).get("error", ""))
        return f"body {problem}: {detail}" if detail else f"body {problem}"
    if not location:
        return "body is not a JSON object with the fields of this call"
    path = _path(location)
    # That of an entry of a list is by the name of the list.
    name = "".join("[]" if isinstance(step, int) else step for step in location[-2:])
    rule = rules.get(name if name.endswith("[]") else str(location[-1]))
    return f"{path} {problem}: it must be {rule}" if rule else f"{path} {problem}"


def _path(location: tuple[str | int, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path
