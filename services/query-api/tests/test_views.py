"""Tests what the view of a row hides."""

from imc_query_api.queries.views import message_of


def test_content_of_a_recalled_message_is_never_shown() -> None:
    message = message_of((5, "app", "group", "user", "secret", 7, 9, "a cause", 0, 3))
    assert (message["content"], message["status"], message["recallTime"]) == ("", 0, 9)
    assert "secret" not in str(message)
