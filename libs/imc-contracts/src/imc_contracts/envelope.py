"""The envelope around every HTTP reply and every push: ``{"success", "code", "message", "data"}``."""

from typing import Annotated, Any, Generic, TypeVar

import orjson
from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from imc_contracts.codes import JAVA_ERROR, ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.fields import INT32

T = TypeVar("T")

_Code = Annotated[int, Field(json_schema_extra=INT32)]
_Refused = Annotated[bool, Field(examples=[False])]
_Reason = Annotated[str, Field(examples=["userId is missing"])]
# Generators of clients make no class for what is nothing but null.
_Nothing = Annotated[None, WithJsonSchema({"type": ["object", "null"]})]


class Envelope(TypedDict, Generic[T]):
    """A successful reply: ``code`` is 0, ``message`` is ``"success"``."""

    success: bool
    code: _Code
    message: str
    data: T


class Failure(TypedDict):
    """A refused request: ``code`` is an `ErrorCode`, ``message`` is for people, ``data`` is null."""

    success: _Refused
    code: Annotated[_Code, Field(examples=[int(ErrorCode.INVALID_FIELD)])]
    message: _Reason
    data: _Nothing


class JavaAnswer(TypedDict, Generic[T]):
    """A reply of the Java door with status 200, also to what it refuses for reasons of business.

    Then ``success`` is false, ``code`` is -1, and ``data`` is null.
    """

    success: bool
    code: _Code
    message: str
    data: T | None


class JavaFailure(TypedDict):
    """A refused request on the Java door: ``code`` is -1, ``message`` is for people, ``data`` is null."""

    success: _Refused
    code: Annotated[_Code, Field(examples=[JAVA_ERROR])]
    message: _Reason
    data: _Nothing


def success(data: T) -> Envelope[T]:
    """Wrap the data of an HTTP reply."""
    return {"success": True, "code": 0, "message": "success", "data": data}


def failure(code: ErrorCode, message: str) -> Failure:
    """Wrap a refusal."""
    return {"success": False, "code": int(code), "message": message, "data": None}


def failure_of(refused: Refused) -> Failure:
    """Wrap a `Refused` exception."""
    return failure(refused.code, refused.message)


def encode(value: Any) -> bytes:
    """Encode a value as JSON in UTF-8, without escaping characters."""
    return orjson.dumps(value)
