"""Verifies the text of a token and reads what it grants."""

import time
from typing import Annotated, Any

import jwt
from imc_contracts.fields import AppId
from imc_contracts.policies import TokenMarks
from imc_contracts.scopes import Scope
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from imc_service.auth.grant import Grant
from imc_service.auth.keys import Key, Keys, invalid

LONGEST_TOKEN = 8192
"""In characters: a list of some two hundred apps fits. Longer tokens are refused unread."""

LEEWAY_SECONDS = 5
"""How far the issuer's clock may be ahead of ours. It does not prolong tokens."""

_WORDS: list[tuple[type[jwt.PyJWTError], str]] = [
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is not meant for this service: its aud is another"),
]


class _Claims(BaseModel):
    """The claims that are read. Others are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    app: AppId | list[AppId]
    """Whose apps they are; ``*`` is every app, so that an app of that name needs a token for all."""

    scope: str | list[str]
    exp: Annotated[int | FiniteFloat, Field(le=2**53)]


class Verifier:
    """Verifies tokens of one issuer, with its ``keys``, for one audience."""

    def __init__(self, keys: Keys, audience: str, scopes: frozenset[Scope]) -> None:
        """``scopes`` are those that its tokens may hold; others are ignored."""
        self._keys = keys
        self._audience = audience
        self._scopes = scopes

    async def verify(self, token: str, header: dict[str, Any]) -> Grant:
        """What ``token``, whose header is ``header``, allows; raises `Refused` as `Access.grant_of` does."""
        claims = self._proven(token, await self._keys.find(header))
        try:
            told = _Claims.model_validate(claims)
        except ValidationError as error:
            raise invalid(f"the token has no valid claim {error.errors()[0]['loc'][0]}") from None
        if told.exp <= time.time():
            raise invalid("the token has expired")
        apps = {told.app} if isinstance(told.app, str) else set(told.app)
        scopes = set(told.scope.split() if isinstance(told.scope, str) else told.scope)
        return Grant(
            None if "*" in apps else frozenset(apps),
            frozenset(scope for scope in self._scopes if scope in scopes),
            float(told.exp),
            _marks(claims),
        )

    def _proven(self, token: str, keys: list[Key]) -> dict[str, Any]:
        """The claims of a token that one of these keys signed, that is valid now and for our audience."""
        for key in keys:
            try:
                return jwt.decode(
                    token,
                    key.value,
                    algorithms=[key.algorithm],
                    audience=self._audience,
                    leeway=LEEWAY_SECONDS,
                    options={"require": ["exp", "aud"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.MissingRequiredClaimError as error:
                raise invalid(f"the token has no claim {error.claim}") from None
            except jwt.PyJWTError as error:
                raise invalid(_in_words(error)) from None
            except RecursionError:
                raise invalid("the token's claims are nested too deeply") from None
        raise invalid("the token is not signed by whom it should be")


def _marks(claims: dict[str, Any]) -> TokenMarks:
    """What a token says about itself. Claims of another type than RFC 7519 gives them say nothing."""
    token_id, subject, issued_at = (claims.get(name) for name in ("jti", "sub", "iat"))
    return TokenMarks(
        token_id if isinstance(token_id, str) else None,
        subject if isinstance(subject, str) else None,
        issued_at if isinstance(issued_at, int | float) else None,
    )


def read_header(token: str) -> dict[str, Any]:
    """The header of a token, not verified. Raises `Refused` (`UNAUTHENTICATED`) if it is malformed."""
    if len(token) > LONGEST_TOKEN:
        raise invalid(f"the token is longer than {LONGEST_TOKEN} characters")
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, UnicodeError, RecursionError):
        raise invalid("the token is malformed") from None


def _in_words(error: jwt.PyJWTError) -> str:
    return next((words for kind, words in _WORDS if isinstance(error, kind)), "the token is not valid")
