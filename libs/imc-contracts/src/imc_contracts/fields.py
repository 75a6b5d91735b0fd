"""The types of request fields, with their bounds.

``RULES`` describes the bounds in words, for the messages of refusals.
"""

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.config import JsonDict

from imc_contracts.cursor import Cursor

MAX_CONTENT_BYTES = 65_535
MAX_BATCH = 500
MAX_LIMIT = 500
DEFAULT_LIMIT = 50
MAX_LETTERS = 100
MAX_GROUPS = 100_000
"""The most groups that a gateway may hold."""

MAX_GROUPS_A_FRAME = 10_000
MAX_REASON_BYTES = 123
"""What a close frame has room for (RFC 6455, section 5.5)."""

MAX_MINUTES = 60
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

INT32: JsonDict = {"format": "int32"}
INT64: JsonDict = {"format": "int64"}
"""The bits that generated clients must read an integer with, for ``json_schema_extra``."""

_IDENTIFIER = "1 to 127 characters, no control characters, no space at either end"
_MILLISECONDS = "milliseconds, a whole number from 0 to 9223372036854775807"
_ID = "the decimal id as a string, 1 to 9223372036854775807"

RULES: dict[str, str] = {
    "appId": _IDENTIFIER,
    "gatewayId": _IDENTIFIER,
    "groupId": _IDENTIFIER,
    "userId": _IDENTIFIER,
    "content": "a string of at most 65535 bytes in UTF-8; it may be empty",
    "type": "a whole number from -2147483648 to 2147483647, or null",
    "clientMessageId": "1 to 64 printable ASCII characters, or null",
    "recallCause": "at most 255 characters, or null",
    "title": "at most 255 characters, or null",
    "jumpUrl": "at most 2048 characters, no javascript:, data: or vbscript: link, or null",
    "messageId": _ID,
    "informationId": _ID,
    "limit": "a whole number from 1 to 500",
    "startTime": _MILLISECONDS,
    "endTime": _MILLISECONDS,
    "minCursor": "the cursor of a reply or a push, as it was given",
    "withTotal": "true or false",
    "messages": "a list of 1 to 500 messages",
    "node": "the address of a process, as replies have it; at most 255 characters",
    "reason": "at most 123 bytes in UTF-8, or null",
    "order": "noisiest or id",
    "minutes": "a whole number from 1 to 60",
    "erasureId": _ID,
    "letterIds": "a list of 1 to 100 letterIds",
    "letterIds[]": "a letterId, as it was given",
    "addGroups": "a list of at most 10000 groupIds",
    "addGroups[]": _IDENTIFIER,
    "removeGroups": "a list of at most 10000 groupIds",
    "removeGroups[]": _IDENTIFIER,
    "more": "true or false",
}
"""The bounds of each field in words; with brackets those of an entry of a list."""

_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_SCRIPT_SCHEMES = ("javascript:", "data:", "vbscript:")
# Browsers remove these characters before they parse the scheme (URL Standard, basic URL parser).
_IGNORED_IN_URL = dict.fromkeys(range(0x21))


def _whole_number(value: Any) -> Any:
    """Accept ``"1"`` for 1, and refuse what pydantic would convert to a number (``true``, ``1.0``)."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("not a whole number")


def _fits_in_bytes(value: str) -> str:
    # A character has at most 4 bytes, so that most texts need not be encoded for this check.
    if len(value) * 4 > MAX_CONTENT_BYTES and len(value.encode()) > MAX_CONTENT_BYTES:
        raise ValueError("too long")
    return value


def _fits_in_a_close(value: str) -> str:
    if len(value.encode()) > MAX_REASON_BYTES:
        raise ValueError("too long")
    return value


def _no_script(value: str) -> str:
    if value.translate(_IGNORED_IN_URL).lower().startswith(_SCRIPT_SCHEMES):
        raise ValueError("a link that runs a script")
    return value


Whole = BeforeValidator(_whole_number)
"""Marks an integer that may also be a decimal string. Descriptions name one type, so that clients get one."""

# Ranges instead of classes: clients read these patterns in other languages, which may not know ``\p{Cc}``,
# or define ``\s`` differently.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_SPACE = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_Identifier = Annotated[
    str,
    StringConstraints(
        max_length=127, pattern=f"^[^{_CONTROL}{_SPACE}](?:[^{_CONTROL}]*[^{_CONTROL}{_SPACE}])?$"
    ),
]
AppId = _Identifier
GatewayId = _Identifier
GroupId = _Identifier
UserId = _Identifier
Content = Annotated[str, StringConstraints(max_length=MAX_CONTENT_BYTES), AfterValidator(_fits_in_bytes)]
MessageType = Annotated[int, Field(ge=-INT32_MAX - 1, le=INT32_MAX, json_schema_extra=INT32), Whole]
ClientMessageId = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")]
ShortText = Annotated[str, StringConstraints(max_length=255)]
JumpUrl = Annotated[str, StringConstraints(max_length=2048), AfterValidator(_no_script)]
CloseReason = Annotated[str, StringConstraints(max_length=MAX_REASON_BYTES), AfterValidator(_fits_in_a_close)]
NodeAddress = Annotated[str, StringConstraints(max_length=255)]
Minutes = Annotated[int, Field(ge=1, le=MAX_MINUTES, json_schema_extra=INT32), Whole]
LetterId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,19}-[0-9]{1,19}$")]
Id = Annotated[
    int,
    Field(ge=1, le=INT64_MAX),
    Whole,
    # JavaScript rounds numbers of this size.
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,18}$"}),
]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, json_schema_extra=INT32), Whole]
Milliseconds = Annotated[int, Field(ge=0, le=INT64_MAX, json_schema_extra=INT64), Whole]
MinCursor = Annotated[
    Cursor,
    PlainValidator(Cursor.parse),
    WithJsonSchema({"type": "string", "pattern": r"^[a-z0-9]{1,32}\.[0-9]{1,13}-[0-9]{1,10}$"}),
]
