"""What a server says of itself, and whether it can serve."""

import pytest
from imc_service.database.serving import Standing, standing

PLAIN = {"read_only": "OFF", "wsrep_on": "OFF", "wsrep_provider": "none", "wsrep_ready": "OFF"}
NODE = {
    "read_only": "OFF",
    "wsrep_on": "ON",
    "wsrep_provider": "/usr/lib/galera/libgalera_smm.so",
    "wsrep_ready": "ON",
    "wsrep_local_state_comment": "Synced",
}
DETACHED = (
    "this Galera node takes no statements (wsrep_ready is OFF, wsrep_local_state_comment is Initialized)"
)


@pytest.mark.parametrize(
    ("answer", "objection", "is_in_step"),
    [
        (PLAIN, None, True),
        ({"read_only": "OFF"}, None, True),  # MySQL
        ({}, None, True),
        (PLAIN | {"read_only": "ON"}, "the server is read-only", True),
        (PLAIN | {"read_only": "NO_LOCK_NO_ADMIN"}, "the server is read-only", True),
        (PLAIN | {"wsrep_on": "ON", "wsrep_ready": "OFF"}, None, True),
        (NODE, None, True),
        (NODE | {"wsrep_local_state_comment": "Donor/Desynced"}, None, False),
        (NODE | {"wsrep_ready": "OFF", "wsrep_local_state_comment": "Initialized"}, DETACHED, False),
        (NODE | {"read_only": "ON"}, "the server is read-only", True),
    ],
)
def test_what_a_server_that_takes_writes_says(
    answer: dict[str, str], objection: str | None, is_in_step: bool
) -> None:
    assert standing(answer.items(), may_be_read_only=False) == Standing(objection, is_in_step)


def test_what_is_only_read_may_be_read_only_and_must_be_part_of_its_cluster() -> None:
    read_only = (PLAIN | {"read_only": "ON"}).items()
    assert standing(read_only, may_be_read_only=True) == Standing(None, True)
    detached = (NODE | {"wsrep_ready": "OFF"}).items()
    assert standing(detached, may_be_read_only=True).objection is not None
