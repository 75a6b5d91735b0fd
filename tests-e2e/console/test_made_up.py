"""What is made up for pages has the shapes of the operator's calls."""

from typing import Any

import pytest
from imc_contracts import operator_views as views
from pydantic import TypeAdapter

from console.made_up import answer

QUERIES = {
    "/v1/installation": views.Installation,
    "/v1/installation/activity": views.Activity,
    "/v1/installation/activity?appId=demo": views.Activity,
    "/v1/apps": views.AppPage,
    "/v1/gateways": views.ConnectedGatewayPage,
    "/v1/dead-letters": views.DeadLetterPage,
}
COMMANDS = {
    "/v1/gateways/demo/gateway-1/disconnect": views.Disconnected,
    "/v1/dead-letters/replay": views.LettersDone,
    "/v1/dead-letters/drop": views.LettersDone,
}


@pytest.mark.parametrize(
    ("method", "path", "view"),
    [*(("GET", *each) for each in QUERIES.items()), *(("POST", *each) for each in COMMANDS.items())],
)
def test_an_answer_has_the_fields_of_its_view_and_no_others(method: str, path: str, view: Any):
    made_up = answer(method, f"http://host{path}", {"appId": "demo", "letterIds": ["1-0"]})
    assert made_up is not None
    # What a view does not have is left out, at any depth.
    assert TypeAdapter(view).validate_python(made_up["data"], strict=True) == made_up["data"]


def test_other_calls_are_not_answered():
    assert answer("GET", "http://host/v1/queries/groups?appId=demo", None) is None
