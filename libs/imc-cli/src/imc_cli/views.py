"""Messages, notices and groups: as the API shows them, for ``--json``, and as rows of tables."""

from typing import Any

from imc_contracts import views
from imc_gateway import Group, Message, Notice, Sent

from imc_cli.output import Cell, moment

MESSAGE_COLUMNS = ("TIME", "MESSAGE", "GROUP", "USER", "CONTENT")
NOTICE_COLUMNS = ("TIME", "NOTICE", "GROUP", "USER", "TITLE", "CONTENT")
GROUP_COLUMNS = ("GROUP", "MESSAGES", "NEWEST", "USER", "CONTENT")
RECALLED = "(recalled)"
DELETED = "(deleted)"


def view_of_message(message: Message) -> views.Message:
    """The message as the API shows it."""
    return {
        "messageId": message.message_id,
        "appId": message.app_id,
        "groupId": message.group_id,
        "userId": message.user_id,
        "content": message.content,
        "createTime": message.create_time,
        "recallTime": message.recall_time,
        "recallCause": message.recall_cause,
        "status": views.STATUS_RETIRED if message.is_recalled else views.STATUS_NORMAL,
        "type": message.type,
    }


def view_of_notice(notice: Notice) -> views.Notice:
    """The notice as the API shows it."""
    return {
        "informationId": notice.information_id,
        "appId": notice.app_id,
        "groupId": notice.group_id,
        "userId": notice.user_id,
        "title": notice.title,
        "content": notice.content,
        "createTime": notice.create_time,
        "deleteTime": notice.delete_time,
        "jumpUrl": notice.jump_url,
        "status": views.STATUS_RETIRED if notice.is_deleted else views.STATUS_NORMAL,
        "type": notice.type,
    }


def view_of_group(group: Group) -> views.Group:
    """The group as the API shows it."""
    return {
        "groupId": group.group_id,
        "newMessage": view_of_message(group.newest_message),
        "updateTime": group.update_time,
        "messageTotal": group.message_total,
    }


def view_of_sent(sent: Sent, key: str = "messageId") -> dict[str, Any]:
    """The answer to a send or to a published notice, whose id is called ``key``."""
    return {key: sent.message_id, "createTime": sent.create_time, "duplicate": sent.is_duplicate}


def row_of_message(message: Message) -> tuple[Cell, ...]:
    """The cells below `MESSAGE_COLUMNS`."""
    shown = RECALLED if message.is_recalled else message.content
    return moment(message.create_time), message.message_id, message.group_id, message.user_id, shown


def row_of_notice(notice: Notice) -> tuple[Cell, ...]:
    """The cells below `NOTICE_COLUMNS`."""
    title = f"{DELETED} {notice.title or ''}".rstrip() if notice.is_deleted else notice.title
    time = moment(notice.create_time)
    return time, notice.information_id, notice.group_id, notice.user_id, title, notice.content


def row_of_group(group: Group) -> tuple[Cell, ...]:
    """The cells below `GROUP_COLUMNS`."""
    newest = group.newest_message
    shown = RECALLED if newest.is_recalled else newest.content
    return group.group_id, group.message_total, moment(group.update_time), newest.user_id, shown
