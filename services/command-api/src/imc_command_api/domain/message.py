"""What a message is, and when it may be recalled."""

from imc_contracts import views
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import SendMessage
from imc_contracts.errors import Refused
from imc_contracts.views import Message

from imc_command_api.domain.idempotency import digest_of


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
    """Equal for sends that make the same message."""
    return digest_of([command.group_id, command.user_id, command.content, command.type])


def recall(message: Message, recall_cause: str | None, now: int, window_ms: int) -> Message:
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
    # The clock of the process that made the message may be ahead of ours.
    return views.recalled(message, max(now, message["createTime"]), recall_cause)


def not_found() -> Refused:
    """No message has this id in the apps asked for. It does not tell whether another app has one."""
    return Refused(ErrorCode.MESSAGE_NOT_FOUND, "no message has this messageId")


def already_recalled() -> Refused:
    """The message can't be recalled again."""
    return Refused(ErrorCode.ALREADY_RECALLED, "the message is recalled already")
