"""``/v1/dead-letters``: log entries that could not be projected."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from imc_contracts.commands import ChosenLetters
from imc_contracts.envelope import Envelope
from imc_contracts.fields import DEFAULT_LIMIT, RULES, AppId, LetterId, Limit
from imc_contracts.operator_views import DeadLetterPage, LettersDone
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_json
from imc_service.auth.audit import LETTERS_DROPPED, LETTERS_REPLAYED, audit
from imc_service.auth.middleware import grant_in, granted
from imc_service.http import replies
from imc_service.http.openapi import ANY_CALL, COMMAND_WITHOUT_QUOTA, json_body, v1_replies
from imc_service.http.page_marks import AFTER_RULE, After, foreign_mark, page_data
from imc_service.http.parameters import Parameters, described, read_query
from pydantic import Field, TypeAdapter, ValidationError

from imc_command_api.dead_letters.pages import LetterPages, Place
from imc_command_api.http.state import command_api
from imc_command_api.http.v1.reading import reading

_RULES = {**RULES, "after": AFTER_RULE}
_MENDING = v1_replies(COMMAND_WITHOUT_QUOTA)
_END = "\0"
_LETTER_ID: TypeAdapter[str] = TypeAdapter(LetterId)


class PageOfLetters(Parameters):
    """Which dead letters to list."""

    app_id: AppId | None = Field(None, description="Only those of this app.")
    after: After | None = Field(None, description="The `next` of the page before.")
    limit: Limit = DEFAULT_LIMIT


def routes() -> APIRouter:
    """The calls of operators about dead letters."""
    router = APIRouter(prefix="/v1/dead-letters")

    @router.get(
        "",
        response_model=Envelope[DeadLetterPage],
        responses=v1_replies(ANY_CALL),
        openapi_extra=described(PageOfLetters, _RULES),
    )
    async def dead_letters(request: Request) -> Response:
        """Log entries that could not be projected, without what users wrote."""
        asked = read_query(request, PageOfLetters, _RULES)
        among = grant_in(request.scope).among(Scope.OPERATE, asked.app_id)
        after = _place(asked.after)
        with reading():
            page = await command_api(request).operations.letters.page(among, after, asked.limit)
        position = None if page.next is None else _END.join(page.next).encode()
        return replies.success(page_data("letters", page.items, position))

    @router.post(
        "/replay",
        response_model=Envelope[LettersDone],
        responses=_MENDING,
        openapi_extra=json_body(ChosenLetters),
    )
    async def replay_dead_letters(request: Request) -> Response:
        """Write chosen entries into the database again, once what was wrong is mended.

        Each is written by itself. Those that the database refuses again stay.
        """
        return await _mend(
            request, LETTERS_REPLAYED, lambda pages, asked: pages.replay(asked.app_id, asked.letter_ids)
        )

    @router.post(
        "/drop",
        response_model=Envelope[LettersDone],
        responses=_MENDING,
        openapi_extra=json_body(ChosenLetters),
    )
    async def drop_dead_letters(request: Request) -> Response:
        """Delete chosen entries. What they hold is lost, unless it has a row."""
        return await _mend(
            request, LETTERS_DROPPED, lambda pages, asked: pages.drop(asked.app_id, asked.letter_ids)
        )

    return router


async def _mend(
    request: Request, action: str, mend: Callable[[LetterPages, ChosenLetters], Awaitable[LettersDone]]
) -> Response:
    api, grant = command_api(request), granted(request.scope, Scope.OPERATE)
    asked = parse_json(ChosenLetters, await api.read_single(request))
    grant.require(Scope.OPERATE, asked.app_id)
    with reading():
        done = await mend(api.operations.letters, asked)
    failed = {letter["letterId"] for letter in done["failed"]}
    mended = [letter_id for letter_id in asked.letter_ids if letter_id not in failed]
    if mended:
        audit(request.scope, action, asked.app_id, letterIds=mended)
    return replies.success(done)


def _place(mark: bytes | None) -> Place | None:
    if mark is None:
        return None
    try:
        app_id, _, letter_id = mark.decode().partition(_END)
        return Place(app_id, _LETTER_ID.validate_python(letter_id))
    except (UnicodeDecodeError, ValidationError):
        raise foreign_mark() from None
