"""The bodies of the Java version's commands. Unknown fields are ignored, so is ``clientMessageId``.

The bounds of the fields are those of `imc_contracts.commands`. `parse_json` and `parse_fields` first convert
what Jackson converts.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast

from pydantic import BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from imc_contracts import commands, validation
from imc_contracts.commands import Command
from imc_contracts.fields import INT64_MAX, ClientMessageId, Content, ShortText
from imc_contracts.java_door.json_text import Number, is_utf8, read_json
from imc_contracts.structure import require_bounded

AnyCommand = TypeVar("AnyCommand", bound=Command)

_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_ID_OF_NOTHING = 0


def _id(text: Any) -> int:
    """The id in ``text``. The Java version takes any text for an id: one that is none belongs to nothing."""
    if not isinstance(text, str):
        raise ValueError("not a text")
    is_id = _ID.fullmatch(text) and int(text) <= INT64_MAX
    return int(text) if is_id else _ID_OF_NOTHING


def _nothing(_: Any) -> None:
    """Ignore the value."""


IdText = Annotated[int, BeforeValidator(_id), WithJsonSchema({"type": "string"})]
_Ignored = Annotated[SkipJsonSchema[ClientMessageId | None], BeforeValidator(_nothing)]


class SendMessage(commands.SendMessage):
    """A message as `/chat/message/create` and the frames of gateways have it.

    Fields are read as Jackson reads them. A number or a boolean is taken for the string that it is written
    as. `type` may be a decimal string; a fraction is cut off. Content that is absent or null is empty.
    """

    model_config = ConfigDict(title="JavaSendMessage")

    content: Content = ""
    client_message_id: _Ignored = None


class PublishNotice(commands.PublishNotice):
    """A notice as `/notice/information/create` has it. Its fields are read as those of JavaSendMessage."""

    model_config = ConfigDict(title="JavaPublishNotice")

    content: Content = ""
    client_message_id: _Ignored = None


class RecallMessage(Command):
    """The message to recall.

    A number or a boolean is taken for the string that it is written as. A string that is no id names nothing.
    """

    model_config = ConfigDict(title="JavaRecallMessage")

    message_id: IdText
    recall_cause: ShortText | None = None


class DeleteNotice(Command):
    """The notice to delete. Its id is read as that of JavaRecallMessage."""

    model_config = ConfigDict(title="JavaDeleteNotice")

    information_id: IdText


def parse_json(model: type[AnyCommand], body: bytes, charset: str | None = None) -> AnyCommand:
    """Read the JSON document ``body`` as ``model``; ``charset`` is what its Content-Type names.

    Raises `Refused` as `read_json` and `parse_fields` do.
    """
    if is_utf8(body, charset):
        require_bounded(body)
        try:
            # Most bodies need no conversion. Those that do are read a second time.
            return model.__pydantic_validator__.validate_json(body)
        except ValidationError:
            pass
    return parse_fields(model, read_json(body, charset))


def parse_fields(model: type[AnyCommand], decoded: Any) -> AnyCommand:
    """Read decoded JSON, a form or query parameters as ``model``.

    Raises `Refused` (`INVALID_FIELD`) whose message names the first field at fault and its bound.
    """
    if not isinstance(decoded, Mapping):
        return validation.parse_fields(model, decoded)
    given = cast("Mapping[str, Any]", decoded)
    names = [str(field.alias) for field in model.model_fields.values()]
    converted = {name: _converted(name, given[name]) for name in names if name in given}
    fields = {name: value for name, value in converted.items() if value is not None}
    return validation.parse_fields(model, fields)


def _converted(name: str, value: Any) -> Any:
    """What Jackson makes of ``value`` for a field; what it refuses is left for the model to refuse."""
    return _integer(value) if name == "type" else _text(value)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, Number | int | float) else value


def _integer(value: Any) -> Any:
    if isinstance(value, Number | float):
        return _cut(value)
    if not isinstance(value, str):
        return value
    # Java's `trim` takes away all that is not above a space.
    text = value.strip("".join(map(chr, range(0x21))))
    return None if text in ("", "null") else text


def _cut(number: Number | float) -> Any:
    """A number without its fraction; one that is out of bounds anyway stays as it is."""
    try:
        return int(number)
    except (ValueError, OverflowError):
        pass
    try:
        return int(float(number))
    except (ValueError, OverflowError):
        return number
