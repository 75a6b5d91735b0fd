"""Where IMC answers, and the token to call it with."""

import asyncio
import functools
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import click
import httpx
from imc_gateway import AsyncClient, Client, Ended, ImcError
from imc_gateway.addresses import Addresses
from imc_gateway.calls import Call

from imc_cli.failures import Failure

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"

_CURES = {
    40101: "Set IMC_TOKEN, or name a file by --token-file; `imc token mint` makes a token.",
    40301: "Take a token for this app and action; `imc token inspect` shows what yours allows.",
    40400: "Is --url the address of IMC, and does its version know this call?",
    42901: "Try again later, or let the app have more.",
    50001: "Whether it was done is not known.",
    50301: "Nothing was done. Try again later; `imc check` may say why.",
}


@dataclass(frozen=True)
class Connection:
    """How to reach an installation."""

    url: str
    """Where calls are answered, without a slash at the end."""

    token: Callable[[], str] | None
    """Gives the token to use now; raises `Failure`."""

    def call(self, call: Call[T]) -> T:
        """Carry out a call. Raises `Failure`."""
        with self.failures_told(), Client(self.url, token=self.token) as client:
            return client.call(call)

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[AsyncClient]:
        """A client for many calls. What they raise becomes a `Failure` as the block is left."""
        with self.failures_told():
            async with AsyncClient(self.url, token=self.token) as client:
                yield client

    @contextmanager
    def failures_told(self) -> Generator[None]:
        """Turn what calls and gateways raise into a `Failure`."""
        try:
            yield
        except (ImcError, httpx.HTTPError, Ended) as error:
            raise failure_of(error, self.url) from None


def failure_of(error: Exception, url: str) -> Failure:
    """What a call or a connection has met, in words with a cure."""
    place = _without_login(url)
    match error:
        case ImcError():
            cure = _CURES.get(error.code, "")
            later = f" It may work in {error.retry_after:g} s." if error.retry_after else ""
            return Failure(f"IMC refused it with {error.code}: {error.message}.{later} {cure}".rstrip())
        case Ended():
            cure = _CURES[40101] if error.code in (401, 4401) else ""
            cure = _CURES[40301] if error.code in (403, 4403) else cure
            return Failure(
                f"the connection has ended for good with {error.code}: {error.reason}. {cure}".rstrip()
            )
        case httpx.TimeoutException():
            return Failure(f"IMC at {place} did not answer in time. Whether the call was done is not known.")
        case _:
            return Failure(
                f"IMC can't be reached at {place}: {error or type(error).__name__}. "
                "Does it run there? --url or IMC_URL says where."
            )


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def connected(function: Callable[..., T]) -> Callable[..., T]:
    """Add ``--url`` and ``--token-file``. The function gets a `Connection` as its first argument."""

    @click.option(
        "--url",
        envvar="IMC_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        callback=_address,
        help="Where IMC answers.",
    )
    @click.option(
        "--token-file",
        envvar="IMC_TOKEN_FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        show_envvar=True,
        help="A file with the token, read anew when one is needed. IMC_TOKEN may hold the token itself.",
    )
    @functools.wraps(function)
    def with_connection(url: str, token_file: Path | None, **rest: Any) -> T:
        return function(Connection(url, token_source(token_file)), **rest)

    return with_connection


def awaited(function: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    """A function that runs a coroutine function to its end."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> T:
        return asyncio.run(function(*arguments, **options))

    return run


def token_source(file: Path | None) -> Callable[[], str] | None:
    """What gives the token: the file, or else the variable IMC_TOKEN; None if there is neither."""
    if file is not None:
        return functools.partial(_token_in, file)
    token = os.environ.get("IMC_TOKEN", "").strip()
    if not token:
        return None
    _check(token, "IMC_TOKEN")
    return lambda: token


def _token_in(file: Path) -> str:
    try:
        token = file.read_text("utf-8").strip()
    except OSError as error:
        raise Failure(f"the file of the token, {file}, can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"the file of the token, {file}, is no text") from None
    _check(token, f"the file {file}")
    return token


def _check(token: str, source: str) -> None:
    """A header takes no other characters. The message does not show them."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Failure(f"{source} holds no token: a token is one word of ASCII")


def _address(_context: click.Context, _parameter: click.Parameter, url: str) -> str:
    try:
        return Addresses.of(url, "a", "g").web
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
