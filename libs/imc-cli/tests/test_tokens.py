"""Tokens are made, looked into, and refused where they make no sense."""

import json
from pathlib import Path

import jwt
import pytest
from imc_testkit.command import Imc
from imc_testkit.tokens import AUDIENCE, SECRET, bad_tokens, token

pytestmark = pytest.mark.programs


def test_a_token_is_printed_and_nothing_else(alone: Imc) -> None:
    options = ("--app", "a", "--app", "b", "--scope", "send, read", "--lifetime", "1m")
    [line] = alone.with_(IMC_JWT_SECRET=SECRET)("token", "mint", *options).splitlines()
    claims = jwt.decode(line, SECRET, ["HS256"], audience=AUDIENCE)
    assert (claims["app"], claims["scope"], claims["exp"] - claims["iat"]) == (["a", "b"], "send read", 60)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--scope", "read"), "--app"),
        (("--app", "a"), "--scope"),
        (("--app", " b", "--scope", "read"), "not an appId: it must be 1 to 127 characters"),
        (("--app", "a", "--scope", "internal"), "must be some of"),
        (("--app", "a", "--scope", ""), "must be some of"),
        (("--app", "a", "--scope", "read", "--lifetime", "0"), "must be 1 to"),
        (("--app", "a", "--scope", "read", "--lifetime", "366d"), "must be 1 to"),
        (("--app", "a", "--scope", "read", "--lifetime", "soon"), "must be 1 to"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(alone: Imc, arguments: tuple[str, ...], fault: str) -> None:
    assert fault in alone.with_(IMC_JWT_SECRET=SECRET).refused("token", "mint", *arguments, code=2)


def test_no_token_is_made_with_a_secret_that_is_too_short(alone: Imc) -> None:
    told = alone.with_(IMC_JWT_SECRET="short").refused("token", "mint", "-a", "a", "--scope", "read", code=2)
    assert "IMC_JWT_SECRET: must be at least 32 bytes" in told


def test_what_a_token_allows_is_shown(alone: Imc, tmp_path: Path) -> None:
    holder = alone.with_(IMC_TOKEN=token(["a", "b"], "send read"))
    shown = dict(line.split("\t") for line in holder("token", "inspect").splitlines())
    assert (shown["valid"], shown["app"], shown["scope"]) == ("yes", '["a", "b"]', "send read")
    assert shown["signature"].startswith("not verified")
    file = tmp_path / "token"
    file.write_text(token())
    verified = alone.with_(IMC_JWT_SECRET=SECRET)("token", "inspect", "--token-file", str(file), "--json")
    told = json.loads(verified)
    assert (told["verified"], told["objection"], told["claims"]["app"]) == (True, None, "*")


@pytest.mark.parametrize("kind", ["signed with another secret", "without its signature"])
def test_a_token_that_would_be_refused_is_told(alone: Imc, kind: str) -> None:
    holder = alone.with_(IMC_TOKEN=bad_tokens()[kind], IMC_JWT_SECRET=SECRET)
    done = holder.run("token", "inspect")
    assert done.returncode == 1
    assert "valid\tno: the token is not signed by whom it should be" in done.stdout


def test_an_expired_token_is_told_without_a_secret(alone: Imc) -> None:
    done = alone.with_(IMC_TOKEN=token(lifetime=-60)).run("token", "inspect")
    assert (done.returncode, "no: the token has expired" in done.stdout) == (1, True)


def test_what_is_no_token_is_told(alone: Imc) -> None:
    assert "Which token?" in alone.refused("token", "inspect", code=2)
    assert "no JSON Web Token" in alone.with_(IMC_TOKEN="abc").refused("token", "inspect")
