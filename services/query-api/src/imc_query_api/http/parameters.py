"""The parameters that all queries have."""

from collections.abc import Mapping
from typing import TypeVar

from fastapi import Request
from imc_contracts.fields import RULES, AppId
from imc_contracts.scopes import Scope
from imc_service.auth.middleware import grant_in
from imc_service.http import parameters
from imc_service.http.parameters import described

__all__ = ["Parameters", "described", "read"]


class Parameters(parameters.Parameters):
    """Parameters of a query of one app."""

    app_id: AppId


Model = TypeVar("Model", bound=Parameters)


def read(
    request: Request, model: type[Model], rules: Mapping[str, str] = RULES, scope: Scope = Scope.READ
) -> Model:
    """Read the parameters of ``request`` as `imc_service.http.parameters.read_query` does.

    Raises `Refused` too (`FORBIDDEN`) if the grant of the request does not allow calls of the kind ``scope``
    for their app.
    """
    asked = parameters.read_query(request, model, rules)
    grant_in(request.scope).require(scope, asked.app_id)
    return asked
