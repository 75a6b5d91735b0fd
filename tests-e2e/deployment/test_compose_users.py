"""Tests that each process of docker-compose.yml uses its own user of the templates."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from imc_testkit.programs import search_path

from deployment.code import ROOT
from deployment.test_compose import FILE, OURS, SERVICES

TEMPLATES = {"redis": ROOT / "deploy/redis/users.acl", "mariadb": ROOT / "deploy/mariadb/users.sql"}
VARIABLE = r"IMC_[A-Z_]+_PASSWORD"
URLS = [
    (service, store, urlsplit(re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", SERVICES[service]["environment"][name])))
    for service in OURS
    for name, store in (("IMC_REDIS_URL", "redis"), ("IMC_DATABASE_URL", "mariadb"))
    if name in SERVICES[service]["environment"]
]


def users(store: str) -> dict[str, str]:
    """The users of a template, each with the variable of its password."""
    marks = {"redis": rf"user (\S+) .*>@({VARIABLE})@", "mariadb": rf"'([^']+)'@.* BY '@({VARIABLE})@'"}
    return dict(re.findall(marks[store], TEMPLATES[store].read_text()))


@pytest.mark.parametrize("store", TEMPLATES)
def test_a_server_creates_the_users_of_its_template_at_each_start(store: str, tmp_path: Path):
    server, template = SERVICES[store], TEMPLATES[store]
    given = {name: value for name, value in server["environment"].items() if name.startswith("IMC_")}
    assert set(given) == set(users(store).values())
    for name, value in given.items():
        assert value == f"${{{name}:?set it in .env}}"
    for path in ("deploy/fill-in.sh", template.relative_to(ROOT)):
        assert f"./{path}:/imc/{Path(path).name}:ro" in server["volumes"]
    # Run the server's command with local folders, up to the entrypoint of the image.
    shell, options, command = server["command"]
    for source in (ROOT / "deploy/fill-in.sh", template):
        shutil.copy(source, tmp_path)
    (tmp_path / "docker-entrypoint.sh").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "docker-entrypoint.sh").chmod(0o755)
    passwords = {name: f"of-{name}" for name in given}
    started = subprocess.run(
        [shell, options, re.sub("/(imc|run)/", f"{tmp_path}/", command)],
        env={"PATH": f"{tmp_path}{os.pathsep}{search_path()}", **passwords},
        capture_output=True,
        text=True,
        check=True,
    )
    file = re.search(r"--(?:aclfile |init-file=)(\S+)", started.stdout)
    assert file is not None
    filled = Path(file[1]).read_text()
    assert all(password in filled for password in passwords.values())


@pytest.mark.parametrize(("service", "store"), [(service, store) for service, store, _ in URLS])
def test_each_process_has_its_own_user(service: str, store: str):
    [url] = [url for each, of, url in URLS if (each, of) == (service, store)]
    process = SERVICES[service]["command"][0]
    assert url.username == (process if store == "mariadb" else process.removeprefix("imc-"))
    assert url.password == users(store)[url.username or ""]
    assert url.hostname == store


@pytest.mark.parametrize(("store", "prefix"), [("redis", ""), ("mariadb", "imc-")])
def test_each_user_belongs_to_a_process_or_an_exporter_or_to_people(store: str, prefix: str):
    processes = {url.username for _, of, url in URLS if of == store}
    assert {*processes, f"{prefix}exporter", f"{prefix}operator"} == set(users(store))


def test_the_exporters_have_their_own_users():
    redis, mysqld = SERVICES["redis-exporter"], SERVICES["mysqld-exporter"]
    given = redis["environment"]
    assert given["REDIS_ADDR"] == "redis://redis:6379"
    assert users("redis")[given["REDIS_USER"]] in given["REDIS_PASSWORD"]
    assert mysqld["command"] == ["--mysqld.address=mariadb:3306", "--mysqld.username=imc-exporter"]
    assert users("mariadb")["imc-exporter"] in mysqld["environment"]["MYSQLD_EXPORTER_PASSWORD"]


def test_one_documented_line_makes_all_secrets(tmp_path: Path):
    [line] = re.findall(r"^#   (for .*)$", FILE.read_text(), re.MULTILINE)
    shutil.copy(FILE, tmp_path)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, env={"PATH": search_path()}, check=True)
    made = dict(each.split("=") for each in (tmp_path / ".env").read_text().splitlines())
    assert set(made) == set(re.findall(r"\$\{(\w+):\?", FILE.read_text()))
    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in made.values())
