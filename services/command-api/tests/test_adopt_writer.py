"""What adoption writes beside others that write the same rows."""

import pytest
from imc_command_api.migrations.adopt.rows import AdoptedMessage, AdoptedRow, Key
from imc_command_api.migrations.adopt.tables import JAVA_MESSAGES
from imc_command_api.migrations.adopt.writer import Overtaken, Sorted, Writer
from imc_contracts.views import STATUS_NORMAL, STATUS_RETIRED
from imc_service.database.database import Database


async def test_a_row_that_was_removed_meanwhile_is_not_recalled(database: Database, app_id: str):
    known = AdoptedMessage(41, app_id, "g", "u", "c", 9, 0, None, STATUS_NORMAL, None)
    recall = known._replace(content="", recall_time=9, status=STATUS_RETIRED)
    writer = Writer(is_sqlite=database.is_sqlite)

    async def write(rows: Sorted) -> None:
        async with database.transaction() as session:
            await writer.write(session, JAVA_MESSAGES, rows)

    async def existing() -> dict[Key, AdoptedRow]:
        async with database.session() as session:
            return await writer.existing(session, JAVA_MESSAGES, [known.key])

    retiring = Sorted(retiring={known.key: recall})
    with pytest.raises(Overtaken):
        await write(retiring)
    assert await existing() == {}
    await write(Sorted(new={known.key: known}))
    await write(retiring)
    assert (await existing())[known.key].status == STATUS_RETIRED
