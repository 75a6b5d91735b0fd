"""Reads the requests of the Java version's clients."""

import re
from typing import TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from imc_contracts.commands import Command
from imc_contracts.java_door.commands import parse_fields, parse_json
from imc_service.http.bodies import media_type_of, read_body
from imc_service.http1.targets import check_form

from imc_command_api.http.state import command_api

FORM = "application/x-www-form-urlencoded"

AnyCommand = TypeVar("AnyCommand", bound=Command)

_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)


async def read_command(request: Request, model: type[AnyCommand]) -> AnyCommand:
    """The JSON body as ``model``, in the charset that its Content-Type names.

    Raises `Refused` as `CommandApi.read_single` and `parse_json` do.
    """
    return parse_json(model, await command_api(request).read_single(request), charset_of(request))


async def read_any_command(request: Request, model: type[AnyCommand]) -> AnyCommand:
    """As `read_command`; the fields may also come as a form, or in the query if there is no body."""
    api = command_api(request)
    if media_type_of(request) == FORM:
        form = check_form(await read_body(request, api.max_single_body_bytes, api.body_room))
        return parse_fields(model, {**request.query_params, **dict(parse_qsl(form, keep_blank_values=True))})
    body = await api.read_single(request)
    return parse_json(model, body, charset_of(request)) if body else parse_fields(model, request.query_params)


def charset_of(request: Request) -> str | None:
    """The charset that Content-Type names, if it does."""
    content_type = request.headers.get("content-type", "")
    found = _CHARSET.search(content_type) if ";" in content_type else None
    return found.group(1) if found is not None else None
