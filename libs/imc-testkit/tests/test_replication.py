from imc_testkit import databases
from imc_testkit.replication import replicated_mariadb
from imc_testkit.waiting import wait_until


async def test_a_replica_follows_when_it_may() -> None:
    async with replicated_mariadb() as (primary, replica), databases.new_database(primary.url) as url:
        at_replica = replica.url_of(url)
        await databases.run(
            url, "CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO t VALUES (1)"
        )
        await replica.caught_up()
        assert await databases.run(at_replica, "SELECT a FROM t") == [(1,)]

        await replica.stop_applying()
        await databases.run(url, "INSERT INTO t VALUES (2)")
        assert await databases.run(at_replica, "SELECT a FROM t") == [(1,)]
        await replica.go_on_applying()
        await replica.caught_up()
        assert await databases.run(at_replica, "SELECT a FROM t") == [(1,), (2,)]

        await replica.delay(3600)
        await databases.run(url, "INSERT INTO t VALUES (3)")
        await wait_until(lambda: _waits_for_its_time(replica.url), what="the replica to hold the row back")
        assert await databases.run(at_replica, "SELECT a FROM t") == [(1,), (2,)]
        await replica.delay(0)
        await replica.caught_up()

        await replica.kill()
        await databases.run(url, "INSERT INTO t VALUES (4)")
        await replica.start()
        await replica.caught_up()
        assert await databases.run(at_replica, "SELECT a FROM t") == [(1,), (2,), (3,), (4,)]


async def _waits_for_its_time(url: str) -> bool:
    states = await databases.run(url, "SELECT state FROM information_schema.processlist")
    return any("Waiting until MASTER_DELAY" in (state or "") for (state,) in states)
