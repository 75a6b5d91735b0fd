"""The envelope around every HTTP reply and every push: ``{"success", "code", "message", "data"}``."""

from typing import Any, Generic, TypeVar

import orjson
from typing_extensions import TypedDict

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused

T = TypeVar("T")


class Envelope(TypedDict, Generic[T]):
    """A successful reply: ``code`` is 0, ``message`` is ``"success"``."""

    success: bool
    code: int
    message: str
    data: T


class Failure(TypedDict):
    """A refused request: ``code`` is an `ErrorCode`, ``message`` is for people, ``data`` is null."""

    success: bool
    code: int
    message: str
    data: None


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
