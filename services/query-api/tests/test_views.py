"""Tests rows that only the Java version wrote."""

from imc_query_api.queries.views import message_of, notice_of


def test_nulls_in_a_message_of_the_java_version_have_defaults() -> None:
    message = message_of((5, "app", "group", "user", "text", 7, None, None, None, None))
    assert message == {
        "messageId": "5",
        "appId": "app",
        "groupId": "group",
        "userId": "user",
        "content": "text",
        "createTime": 7,
        "recallTime": 0,
        "recallCause": None,
        "status": 1,
        "type": None,
    }


def test_content_of_a_recalled_message_is_never_shown() -> None:
    message = message_of((5, "app", "group", "user", "secret", 7, 9, "a cause", 0, 3))
    assert (message["content"], message["status"], message["recallTime"]) == ("", 0, 9)
    assert "secret" not in str(message)


def test_nulls_in_a_notice_of_the_java_version_have_defaults() -> None:
    notice = notice_of((5, "app", "group", "user", None, "text", 7, None, None, None, None))
    assert (notice["deleteTime"], notice["status"], notice["jumpUrl"]) == (0, 1, None)
    assert notice_of((5, "app", "group", "user", None, "text", 7, 9, None, 0, None))["status"] == 0
