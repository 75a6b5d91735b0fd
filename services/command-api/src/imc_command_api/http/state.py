"""What the calls of the command side work with."""

from collections.abc import Awaitable
from dataclasses import dataclass

from fastapi import Request
from imc_service.http.bodies import BodyRoom, read_json_body

from imc_command_api.dead_letters.pages import LetterPages
from imc_command_api.handlers.delete_notice import DeleteNoticeHandler
from imc_command_api.handlers.erase import EraseHandler
from imc_command_api.handlers.publish_notice import PublishNoticeHandler
from imc_command_api.handlers.recall_message import RecallMessageHandler
from imc_command_api.handlers.send_messages import SendMessages
from imc_command_api.operations.activity import ActivityReader
from imc_command_api.operations.apps import Apps
from imc_command_api.operations.erasures import ErasureReports
from imc_command_api.operations.installation import InstallationReader

SINGLE_BODY_BYTES = 1_048_576
"""The largest body of a call that is no batch. A send within all bounds has at most 430,000 bytes: a content
of 65,535 bytes, each written as an escape of 6. The rest is for unknown fields."""


@dataclass(frozen=True, slots=True)
class CommandApi:
    """The use cases, the sizes of the largest bodies in bytes, and the room for all bodies."""

    send_messages: SendMessages
    recall_message: RecallMessageHandler
    publish_notice: PublishNoticeHandler
    delete_notice: DeleteNoticeHandler
    erase: EraseHandler
    max_body_bytes: int
    """Of a batch."""
    max_single_body_bytes: int
    """Of all other calls, at most `SINGLE_BODY_BYTES`."""
    body_room: BodyRoom
    operations: "Operations"

    def read_batch(self, request: Request) -> Awaitable[bytes]:
        """The JSON body of a batch; raises `Refused` as `read_json_body` does."""
        return read_json_body(request, self.max_body_bytes, self.body_room)

    def read_single(self, request: Request) -> Awaitable[bytes]:
        """The JSON body of any other call; raises as `read_batch` does."""
        return read_json_body(request, self.max_single_body_bytes, self.body_room)


@dataclass(frozen=True, slots=True)
class Operations:
    """What operators read and mend."""

    activity: ActivityReader
    apps: Apps
    erasures: ErasureReports
    installation: InstallationReader
    letters: LetterPages


def command_api(request: Request) -> CommandApi:
    """What the lifespan of the application opened."""
    api: CommandApi = request.scope["state"]["command_api"]
    return api
