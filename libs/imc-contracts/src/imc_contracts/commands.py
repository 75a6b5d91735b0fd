"""The bodies of the commands, as clients and gateways write them. Unknown fields are ignored."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field, StrictBool
from pydantic.alias_generators import to_camel

from imc_contracts.fields import (
    MAX_BATCH,
    MAX_GROUPS_A_FRAME,
    MAX_LETTERS,
    AppId,
    ClientMessageId,
    CloseReason,
    Content,
    GroupId,
    Id,
    JumpUrl,
    LetterId,
    MessageType,
    ShortText,
    UserId,
)


class Command(BaseModel):
    """A body with camelCase names on the wire; frozen, since a command is a fact once it is read."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore", serialize_by_alias=True)


class SendMessage(Command):
    """Write one message into a group of an app."""

    app_id: AppId
    group_id: GroupId
    user_id: UserId
    content: Content
    type: MessageType | None = None
    client_message_id: ClientMessageId | None = None


class SendMessageBatch(Command):
    """Write up to 500 messages, of one app or of several; each is accepted or refused on its own."""

    # One fault is enough to know that each message has to be looked at by itself.
    messages: Annotated[list[SendMessage], FailFast()] = Field(min_length=1, max_length=MAX_BATCH)


class RecallMessage(Command):
    """Take a message back, within the recall window."""

    app_id: AppId
    message_id: Id
    recall_cause: ShortText | None = None


class PublishNotice(Command):
    """Pin a notice to a group."""

    app_id: AppId
    group_id: GroupId
    user_id: UserId
    title: ShortText | None = None
    content: Content
    jump_url: JumpUrl | None = None
    type: MessageType | None = None
    client_message_id: ClientMessageId | None = None


class DeleteNotice(Command):
    """Take a notice down."""

    app_id: AppId
    information_id: Id


class EraseUser(Command):
    """Erase all that a user has written in an app."""

    app_id: AppId
    user_id: UserId


class EraseGroup(Command):
    """Erase all that was written in a group."""

    app_id: AppId
    group_id: GroupId


class EraseApp(Command):
    """Erase all that was written in an app."""

    app_id: AppId


_GroupIds = Annotated[list[GroupId], Field(max_length=MAX_GROUPS_A_FRAME, fail_fast=True)]


class ChangeGroups(Command):
    """Change the groups that a gateway holds: first remove some, then add some.

    ``more``: the list that the gateway begins with goes on in another frame.
    """

    add_groups: _GroupIds | None = None
    remove_groups: _GroupIds | None = None
    more: StrictBool | None = None


class DisconnectGateway(Command):
    """Close the connections of a gateway. ``reason`` is what its close frame says."""

    reason: CloseReason | None = None


class ChosenLetters(Command):
    """Choose up to 100 dead letters of one app."""

    app_id: AppId
    letter_ids: Annotated[list[LetterId], Field(min_length=1, max_length=MAX_LETTERS), FailFast()]
