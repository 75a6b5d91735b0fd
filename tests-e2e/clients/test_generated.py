"""Clients that generators make of the description of all calls can send, recall and query."""

import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from imc_testkit.deployment import Deployment

from clients.program import Program
from clients.toolchains import JAVAC, QUICK_JAVA, SOURCES, Command, ask_for, built, files_of

OAPI_CODEGEN = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"


def generated(language: str, description: str, *, fetch: list[Command], build: list[Command]) -> Path:
    """The client of a language, with what its generator made of the description."""
    files = {**files_of(SOURCES / "generated" / language), "openapi.json": description}
    return built(f"generated-{language}", files, fetch=fetch, build=build)


def in_python(description: str) -> tuple[Command, Path]:
    bin_folder = Path("environment/bin")
    options = "--path openapi.json --meta none --output-path client --config config.yml --fail-on-warning"
    folder = generated(
        "python",
        description,
        fetch=[
            [sys.executable, "-m", "venv", "environment"],
            [f"{bin_folder}/pip", "install", "--quiet", "-r", "requirements.txt"],
        ],
        build=[[f"{bin_folder}/openapi-python-client", "generate", *options.split()]],
    )
    return [f"{bin_folder}/python", "main.py"], folder


def in_typescript(description: str) -> tuple[Command, Path]:
    folder = generated(
        "typescript",
        description,
        fetch=[["npm", "install", "--no-audit", "--no-fund"]],
        build=[["npx", "openapi-typescript", "openapi.json", "--output", "api.d.ts"], ["npx", "tsc"]],
    )
    return ["node", "main.js"], folder


def in_java(description: str) -> tuple[Command, Path]:
    folder = generated(
        "java",
        description,
        fetch=[
            ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"],
            ["mvn", "-q", "-B", "org.openapitools:openapi-generator-maven-plugin:generate"],
        ],
        build=[
            [*JAVAC, "-cp", "jars/*", "-sourcepath", "generated/src/main/java", "-d", "classes", "Main.java"]
        ],
    )
    return [*QUICK_JAVA, "-cp", "classes:jars/*", "Main"], folder


def in_go(description: str) -> tuple[Command, Path]:
    generate = ["-generate", "types,client", "-package", "main", "-o", "imc.gen.go", "openapi.json"]
    folder = generated(
        "go",
        description,
        fetch=[["go", "run", OAPI_CODEGEN, *generate], ["go", "mod", "tidy"]],
        build=[["go", "build", "-o", "client"]],
    )
    return ["./client"], folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "client", [in_python, in_typescript, in_java, in_go], ids=lambda client: client.__name__[3:]
)
async def test_a_generated_client_sends_recalls_and_queries(
    client: Callable[[str], tuple[Command, Path]],
    standalone_process: Deployment,
    http: httpx.AsyncClient,
    app_id: str,
):
    ask_for()
    origin = standalone_process.command_apis[0].url
    description = (await http.get(f"{origin}/openapi.json")).text
    command, folder = client(description)
    async with Program([*command, origin, app_id], folder) as program:
        said = await program.event()
    message = {
        "appId": app_id,
        "groupId": "lobby",
        "userId": "ann",
        "content": "",
        "messageId": said["sent"]["messageId"],
        "createTime": said["sent"]["createTime"],
        "recallTime": said["recalled"]["recallTime"],
        "recallCause": "typo",
        "status": 0,
        "type": 3,
    }
    assert said["recalled"] == message
    assert said["found"] == [message]
    assert said["sent"]["duplicate"] is False
