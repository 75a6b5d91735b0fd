"""``imc token``."""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import jwt
from imc_contracts.errors import Refused
from imc_contracts.fields import RULES, AppId
from imc_contracts.scopes import CLIENT_SCOPES
from imc_service.auth.mint import LONGEST_LIFETIME, mint
from imc_service.auth.secret import SharedSecrets
from imc_service.auth.settings import TokenSettings
from imc_service.auth.verifier import Verifier, read_header
from imc_service.settings import load_or_exit
from imc_service.standard_streams import say
from pydantic import TypeAdapter, ValidationError

from imc_cli.command import Group, as_json
from imc_cli.connection import token_source
from imc_cli.failures import Failure
from imc_cli.output import moment, say_json, say_table
from imc_cli.values import Duration

_SCOPES = " ".join(sorted(CLIENT_SCOPES))


@click.group(cls=Group)
def command() -> None:
    """Tokens say which calls their bearer may make, in which apps, and until when."""


def _app_ids(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    adapter: TypeAdapter[str] = TypeAdapter(AppId)
    try:
        return tuple(adapter.validate_python(each) for each in given)
    except ValidationError:
        raise click.BadParameter(f"not an appId: it must be {RULES['appId']}") from None


def _scopes(_context: click.Context, _parameter: click.Parameter, given: str) -> list[str]:
    scopes = given.replace(",", " ").split()
    if not scopes or not CLIENT_SCOPES.issuperset(scopes):
        raise click.BadParameter(f"must be some of: {_SCOPES}")
    return scopes


@command.command(
    "mint",
    examples=[
        "export IMC_JWT_SECRET=$(openssl rand -hex 32)",
        "imc token mint --app demo --scope 'send read gateway'",
        "export IMC_TOKEN=$(imc token mint --app '*' --scope read --lifetime 10m)",
    ],
)
@click.option(
    "--app",
    "-a",
    "app_ids",
    multiple=True,
    required=True,
    metavar="APP",
    callback=_app_ids,
    help="An appId, or * for every app; may be repeated.",
)
@click.option("--scope", required=True, callback=_scopes, help=f"What it allows, of: {_SCOPES}.")
@click.option(
    "--lifetime",
    type=Duration(1, LONGEST_LIFETIME),
    default="1h",
    show_default=True,
    help="Until it expires, such as 600 (seconds), 10m, 12h.",
)
def mint_token(app_ids: tuple[str, ...], scope: list[str], lifetime: int) -> None:
    """Print a token, and nothing else.

    It is signed with IMC_JWT_SECRET, the secret of the installation, for the audience IMC_JWT_AUDIENCE.
    """
    say(mint(load_or_exit(TokenSettings, os.environ), app_ids, scope, lifetime))


@command.command(
    "inspect",
    examples=["imc token inspect", "imc token inspect --token-file token --json"],
)
@click.option(
    "--token-file",
    envvar="IMC_TOKEN_FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    show_envvar=True,
    help="A file with the token; otherwise the variable IMC_TOKEN.",
)
@as_json
def inspect_token(token_file: Path | None, as_json: bool) -> int:
    """Show what a token allows and until when.

    With IMC_JWT_SECRET its signature is verified. Exit status 1 says that IMC would refuse it.
    """
    source = token_source(token_file)
    if source is None:
        raise click.UsageError("Which token? Set IMC_TOKEN, or name a file by --token-file.")
    token = source()
    header, claims = _unverified(token)
    objection = _objection(token, header, claims)
    is_verified = bool(os.environ.get("IMC_JWT_SECRET"))
    if as_json:
        say_json([{"header": header, "claims": claims, "verified": is_verified, "objection": objection}])
    else:
        say_table(("WHAT", "VALUE"), _rows(header, claims, objection, is_verified))
    return 0 if objection is None else 1


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return read_header(token), claims
    except (jwt.PyJWTError, UnicodeError, RecursionError):
        raise Failure("this is no JSON Web Token: it has three parts with dots between them") from None
    except Refused as refused:
        raise Failure(refused.message) from None


def _objection(token: str, header: dict[str, Any], claims: Mapping[str, Any]) -> str | None:
    """Why IMC would refuse the token, as far as that can be known here, or None."""
    if not os.environ.get("IMC_JWT_SECRET"):
        expiry = claims.get("exp")
        if not isinstance(expiry, int | float):
            return "the token has no claim exp"
        return "the token has expired" if expiry <= time.time() else None
    settings = load_or_exit(TokenSettings, os.environ)
    verifier = Verifier(SharedSecrets(settings.jwt_secret), settings.jwt_audience, CLIENT_SCOPES)
    try:
        asyncio.run(verifier.verify(token, header))
    except Refused as refused:
        return refused.message
    return None


def _rows(
    header: Mapping[str, Any], claims: Mapping[str, Any], objection: str | None, is_verified: bool
) -> list[tuple[str, str]]:
    signature = "verified" if is_verified else "not verified: set IMC_JWT_SECRET"
    rows = [
        ("valid", "yes" if objection is None else f"no: {objection}"),
        ("algorithm", str(header.get("alg"))),
    ]
    rows += [("signature", signature)] if objection is None else []
    for name in ("app", "scope", "aud"):
        value: Any = claims.get(name, "")
        rows.append((name, value if isinstance(value, str) else json.dumps(value)))
    for name in ("iat", "nbf", "exp"):
        value = claims.get(name)
        if isinstance(value, int | float):
            rows.append((name, moment(int(value * 1000))))
    return rows
