"""The users of Redis as the template in ``deploy`` makes them, and an administrator of the tests."""

import subprocess

from imc_testkit.programs import search_path
from project_files import ROOT

PROCESSES = ("command-api", "projector", "push-node", "query-api")
USERS = (*PROCESSES, "operator", "exporter")
ADMINISTRATOR = "administrator"


def account(user: str) -> str:
    """The user with its password, as a URL has them."""
    return f"{user}:{user}"


def filled_in() -> str:
    """What Redis reads with ``--aclfile``. The password of each user is its name."""
    return f"{_template('users.acl', USERS)}user {ADMINISTRATOR} reset on >{ADMINISTRATOR} ~* &* +@all\n"


def with_replication() -> str:
    """The same for servers that replicas follow and sentinels watch."""
    return filled_in() + _template("replication.acl", ("replica", "sentinel"))


def _template(name: str, users: tuple[str, ...]) -> str:
    passwords = {f"IMC_REDIS_{user.upper().replace('-', '_')}_PASSWORD": user for user in users}
    return subprocess.run(
        ["sh", str(ROOT / "deploy/fill-in.sh"), str(ROOT / "deploy/redis" / name)],
        env={"PATH": search_path(), **passwords},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
