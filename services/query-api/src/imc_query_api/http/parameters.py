"""The query parameters of each call. Unknown ones are ignored."""

from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from imc_contracts.fields import (
    DEFAULT_PAGE_SIZE,
    INT64_MAX,
    RULES,
    AppId,
    GroupId,
    Id,
    Milliseconds,
    PageNum,
    PageSize,
    UserId,
)
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_fields
from imc_service.auth.middleware import grant_in
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from imc_query_api.queries.window import Window


class Parameters(BaseModel):
    """Parameters with camelCase names on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")

    app_id: AppId


class _Paged(Parameters):
    start_time: Milliseconds = 0
    end_time: Milliseconds = INT64_MAX
    page_num: PageNum = 1
    page_size: PageSize = DEFAULT_PAGE_SIZE
    with_total: bool = True

    def window(self) -> Window:
        """The part of the history that is asked for; page 0 is page 1."""
        offset = (max(self.page_num, 1) - 1) * self.page_size
        return Window(self.start_time, self.end_time, offset, self.page_size, self.with_total)


class OfGroup(_Paged):
    """A page of what is in a group."""

    group_id: GroupId


class OfUser(_Paged):
    """A page of what is by a user."""

    user_id: UserId


class OfUserInGroup(_Paged):
    """A page of what is by a user in a group."""

    group_id: GroupId
    user_id: UserId


class BesideMessage(Parameters):
    """Messages next to one of a group."""

    group_id: GroupId
    message_id: Id
    page_size: PageSize = DEFAULT_PAGE_SIZE


class GroupsOfUser(Parameters):
    """The groups of a user."""

    user_id: UserId


Model = TypeVar("Model", bound=Parameters)


def read(request: Request, model: type[Model], scope: Scope = Scope.READ) -> Model:
    """The parameters of ``request``; raises `Refused` (`INVALID_FIELD`).

    Raises `Refused` (`FORBIDDEN`) too, if its grant does not allow calls of the kind ``scope`` for their app.
    Of a parameter that is repeated the last counts; an empty one counts as absent.
    """
    given = _decoded(request.scope["query_string"].decode("latin-1"))
    asked = parse_fields(model, {name: value for name, value in given.items() if value})
    grant_in(request.scope).require(scope, asked.app_id)
    return asked


def _decoded(query: str) -> dict[str, str]:
    # Not `query_params`, whose construction costs more than all that is read from it; and where nothing is
    # escaped, which takes another two thirds of what is left, its parts are as they are.
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    return {name: value for name, _, value in (part.partition("=") for part in query.split("&"))}


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads ``model`` from its query by itself."""
    # As it is written out again, a number is just that; as it is read, it may also be a string of digits,
    # which in a query is no difference.
    schema = model.model_json_schema(mode="serialization")
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": "default" not in field,
                "description": RULES[name],
                # An empty one counts as absent, which those that are required may not be.
                **({"allowEmptyValue": True} if "default" in field else {}),
                "schema": {key: value for key, value in field.items() if key != "title"},
            }
            for name, field in schema["properties"].items()
        ]
    }
