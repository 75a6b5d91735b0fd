"""What a node shows of what others have committed, and what one says that is cut off."""

import asyncio
import contextlib

import httpx
import pytest
from imc_service.database.database import Database, StoreUnavailable, open_database
from imc_testkit import databases
from imc_testkit.galera import GaleraCluster, GaleraNode, node_url
from imc_testkit.processes import Process
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until


async def test_a_causal_read_waits_for_what_others_have_committed(cluster: GaleraCluster) -> None:
    first, second = [node_url(node, "imc") for node in cluster.nodes[:2]]
    await databases.run(first, "CREATE OR REPLACE TABLE shown (id INT PRIMARY KEY)")
    await cluster.synced()
    select = "SELECT id FROM shown"
    async with (
        open_database(second, causal_reads=True) as causal,
        open_database(second) as plain,
        # This holds the node back: it gets what others commit, and does not apply it.
        databases.connect(second) as holder,
        holder.cursor() as cursor,
    ):
        assert [await causal.fetch_all(select), await plain.fetch_all(select)] == [[], []]
        await cursor.execute("FLUSH TABLES WITH READ LOCK")
        await databases.run(first, "INSERT INTO shown (id) VALUES (1)")
        reading = asyncio.create_task(causal.fetch_all(select))
        assert await plain.fetch_all(select) == []
        await asyncio.wait({reading}, timeout=0.5)
        assert not reading.done()
        await cursor.execute("UNLOCK TABLES")
        assert await reading == [(1,)]


@pytest.mark.parametrize(("setting", "expected"), [({}, 1), ({"IMC_CAUSAL_READS": "false"}, 0)])
async def test_query_api_reads_causally_unless_it_is_told_not_to(
    cluster: GaleraCluster, setting: dict[str, str], expected: int
) -> None:
    url = node_url(cluster.nodes[2], "imc")
    counted = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
    counted += " WHERE VARIABLE_NAME = 'wsrep_causal_reads'"
    async with (
        Process("imc-query-api", {**OFF, "IMC_DATABASE_URL": url, **setting}) as process,
        httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=30) as client,
    ):
        await process.ready()
        [(before,)] = await databases.run(url, counted)
        reply = await client.get("/v1/queries/messages", params={"appId": "a", "groupId": "g"})
        assert reply.status_code == 200
        [(after,)] = await databases.run(url, counted)
        assert (int(after) > int(before)) == bool(expected)


@pytest.mark.timeout(180)
async def test_a_node_that_is_cut_off_is_told_or_left(cluster: GaleraCluster) -> None:
    node, *others = cluster.nodes
    async with (
        open_database(node_url(node, "imc")) as lone,
        open_database(cluster.url("imc")) as several,
    ):
        assert await leads_to(several, node)
        await node.isolate()
        try:
            await wait_until(lambda: says(lone, "1047 WSREP has not yet prepared node"), 60)
            await wait_until(lambda: leads_to(several, others[0]), 60)
        finally:
            await node.rejoin()
        await cluster.synced()
        assert await leads_to(lone, node)
        assert await leads_to(several, others[0])


@pytest.mark.timeout(180)
async def test_a_node_out_of_step_serves_only_if_no_other_is_in_step(cluster: GaleraCluster) -> None:
    async with open_database(cluster.url("imc")) as database:
        assert await leads_to(database, cluster.nodes[0])
        try:
            await set_out_of_step(cluster.nodes[0], "ON")
            await wait_until(lambda: leads_to(database, cluster.nodes[1]), 60)
            for node in cluster.nodes[1:]:
                await set_out_of_step(node, "ON")
            async with open_database(cluster.url("imc", first=2)) as another:
                assert await leads_to(another, cluster.nodes[2])
        finally:
            for node in cluster.nodes:
                await set_out_of_step(node, "OFF")


async def set_out_of_step(node: GaleraNode, value: str) -> None:
    await databases.run(node.url, f"SET GLOBAL wsrep_desync = {value}")


async def leads_to(database: Database, node: GaleraNode) -> bool:
    with contextlib.suppress(StoreUnavailable):
        return await database.fetch_all("SELECT @@port") == [(node.port,)]
    return False


async def says(database: Database, words: str) -> bool:
    try:
        await database.fetch_all("SELECT 1 FROM imc_group")
    except StoreUnavailable as told:
        return words in str(told)
    return False
