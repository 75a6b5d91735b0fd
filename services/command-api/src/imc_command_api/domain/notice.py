"""What a notice is, and when it may be deleted."""

from imc_contracts import views
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import PublishNotice
from imc_contracts.errors import Refused
from imc_contracts.views import Notice

from imc_command_api.domain.idempotency import digest_of


def compose(command: PublishNotice, information_id: int, create_time: int) -> Notice:
    """The notice that a command publishes."""
    return {
        "informationId": str(information_id),
        "appId": command.app_id,
        "groupId": command.group_id,
        "userId": command.user_id,
        "title": command.title,
        "content": command.content,
        "createTime": create_time,
        "deleteTime": 0,
        "jumpUrl": command.jump_url,
        "status": views.STATUS_NORMAL,
        "type": command.type,
    }


def digest(command: PublishNotice) -> str:
    """Equal for commands that publish the same notice; never that of a message."""
    fields = [
        command.group_id,
        command.user_id,
        command.title,
        command.content,
        command.jump_url,
        command.type,
    ]
    return digest_of(["notice", *fields])


def delete(notice: Notice, now: int) -> Notice:
    """The notice as deleted at ``now``; raises `Refused` if it is deleted already."""
    if notice["status"] != views.STATUS_NORMAL:
        raise already_deleted()
    return views.deleted(notice, max(now, notice["createTime"]))


def not_found() -> Refused:
    """No notice has this id in the apps asked for. It does not tell whether another app has one."""
    return Refused(ErrorCode.NOTICE_NOT_FOUND, "no notice has this informationId")


def of_several_apps() -> Refused:
    """Notices of several apps have this id, and the command names no app."""
    return Refused(
        ErrorCode.NOTICE_NOT_FOUND,
        "several apps have a notice with this informationId: delete it with /v1/commands/delete-notice, "
        "which names the app",
    )


def already_deleted() -> Refused:
    """The notice can't be deleted again."""
    return Refused(ErrorCode.NOTICE_ALREADY_DELETED, "the notice is deleted already")
