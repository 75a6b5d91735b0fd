"""What the calls of the command side work with."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from imc_command_api.handlers.delete_notice import DeleteNoticeHandler
from imc_command_api.handlers.publish_notice import PublishNoticeHandler
from imc_command_api.handlers.recall_message import RecallMessageHandler
from imc_command_api.handlers.send_messages import SendMessages


@dataclass(frozen=True, slots=True)
class CommandApi:
    """The use cases, and the size of the largest body in bytes."""

    send_messages: SendMessages
    recall_message: RecallMessageHandler
    publish_notice: PublishNoticeHandler
    delete_notice: DeleteNoticeHandler
    max_body_bytes: int


def command_api(request: Request) -> CommandApi:
    """What the lifespan of the application opened."""
    return cast(CommandApi, request.scope["state"]["command_api"])
