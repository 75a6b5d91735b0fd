"""Tokens for clients and gateways, signed with our own secret: for testing and operations."""

import argparse
import os
import time
from collections.abc import Sequence

import jwt
from imc_contracts.fields import RULES, AppId
from imc_contracts.scopes import CLIENT_SCOPES
from pydantic import TypeAdapter, ValidationError

from imc_service.auth.secret import ALGORITHM, split
from imc_service.auth.settings import TokenSettings
from imc_service.command_line import Program
from imc_service.settings import load_or_exit
from imc_service.standard_streams import say, standard_streams

PROGRAM = Program(
    name="imc-token",
    package="imc-service",
    purpose="Prints a token signed with IMC_JWT_SECRET, for the audience IMC_JWT_AUDIENCE.",
    settings=(TokenSettings,),
    example="IMC_JWT_SECRET=$(openssl rand -hex 32) imc-token --app demo --scope 'send read gateway'",
)

LONGEST_LIFETIME = 365 * 86_400

_APP_ID: TypeAdapter[str] = TypeAdapter(AppId)


def mint(settings: TokenSettings, apps: Sequence[str], scopes: Sequence[str], lifetime: int) -> str:
    """A token for ``apps`` (``["*"]``: all) and ``scopes`` that expires after ``lifetime`` seconds."""
    now = int(time.time())
    claims = {
        "aud": settings.jwt_audience,
        "app": apps[0] if len(apps) == 1 else list(apps),
        "scope": " ".join(scopes),
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, split(settings.jwt_secret)[0], ALGORITHM)


def main() -> None:
    """Print a token, and nothing else."""
    with standard_streams():
        arguments = _parser().parse_args()
        settings = load_or_exit(TokenSettings, os.environ)
        say(mint(settings, arguments.app, arguments.scope, arguments.lifetime))


def _parser() -> argparse.ArgumentParser:
    parser = PROGRAM.parser()
    parser.add_argument(
        "--app",
        type=_app,
        action="append",
        required=True,
        help="an appId, or * for every app; may be repeated",
    )
    parser.add_argument(
        "--scope", type=_scopes, required=True, help=f"what it allows, of: {' '.join(sorted(CLIENT_SCOPES))}"
    )
    parser.add_argument(
        "--lifetime",
        type=_lifetime,
        default=3600,
        metavar="SECONDS",
        help="until it expires; 3600 if left out",
    )
    return parser


def _app(text: str) -> str:
    try:
        return _APP_ID.validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(f"not an appId: it must be {RULES['appId']}") from None


def _scopes(text: str) -> list[str]:
    scopes = text.replace(",", " ").split()
    if not scopes or not CLIENT_SCOPES.issuperset(scopes):
        raise argparse.ArgumentTypeError(f"must be some of: {' '.join(sorted(CLIENT_SCOPES))}")
    return scopes


def _lifetime(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_LIFETIME:
        raise argparse.ArgumentTypeError(f"must be 1 to {LONGEST_LIFETIME} seconds")
    return int(text)
