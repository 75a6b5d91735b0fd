"""What a message is, and when it may be recalled."""

import hashlib

from imc_contracts import envelope, views
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import RecallMessage, SendMessage
from imc_contracts.errors import Refused
from imc_contracts.views import Message


def compose(command: SendMessage, message_id: int, create_time: int) -> Message:
    """The message that a send makes."""
    return {
        "messageId": str(message_id),
        "appId": command.app_id,
        "groupId": command.group_id,
        "userId": command.user_id,
        "content": command.content,
        "createTime": create_time,
        "recallTime": 0,
        "recallCause": None,
        "status": views.STATUS_NORMAL,
        "type": command.type,
    }


def digest(command: SendMessage) -> str:
    """A short word for all that a repeated send must have in common with the first."""
    payload = envelope.encode([command.group_id, command.user_id, command.content, command.type])
    return hashlib.blake2b(payload, digest_size=8).hexdigest()


def recall(message: Message, command: RecallMessage, now: int, window_ms: int) -> Message:
    """The message as recalled at ``now``.

    Raises `Refused` if it is recalled already, or was sent more than ``window_ms`` ago.
    """
    if message["status"] != views.STATUS_NORMAL:
        raise already_recalled()
    if now - message["createTime"] > window_ms:
        raise Refused(
            ErrorCode.RECALL_WINDOW_PASSED,
            f"a message can be recalled within {window_ms // 1000} seconds of its sending, not later",
        )
    # Another process's clock may have given it a time that is ahead of ours.
    return views.recalled(message, max(now, message["createTime"]), command.recall_cause)


def not_found() -> Refused:
    """There is no such message, or it is another app's: callers can't tell which."""
    return Refused(ErrorCode.MESSAGE_NOT_FOUND, "no message has this messageId")


def already_recalled() -> Refused:
    """A recall happens once."""
    return Refused(ErrorCode.ALREADY_RECALLED, "the message is recalled already")


def other_message() -> Refused:
    """A ``clientMessageId`` names one message of an app."""
    return Refused(
        ErrorCode.CLIENT_MESSAGE_ID_REUSED,
        "clientMessageId was used for another message of this app: a new message needs a new one",
    )
