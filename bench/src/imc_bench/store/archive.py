"""A MariaDB in `.bench` that keeps long histories between runs."""

import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from imc_testkit.servers import PrivateMariadb

FOLDER = Path(".bench/mariadb")
_MAX_MEMORY = 6 * 2**30


@contextlib.asynccontextmanager
async def archive(folder: Path = FOLDER) -> AsyncGenerator[PrivateMariadb]:
    """Start a MariaDB on the data in ``folder``, with memory for all that is read, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    memory = min(_MAX_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    server = PrivateMariadb(
        f"--innodb-buffer-pool-size={memory}",
        "--innodb-buffer-pool-load-at-startup=0",
        "--innodb-log-file-size=1G",
        # These options speed up filling, without durability: histories can be made again.
        "--innodb-sort-buffer-size=64M",
        "--innodb-log-buffer-size=64M",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--innodb-io-capacity=10000",
        folder=folder.resolve(),
    )
    try:
        await server.start()
        yield server
        await server.stop()
    finally:
        await server.close()
