"""Keeps the quotas of a process as its file has them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from prometheus_client import Gauge

from imc_service import background
from imc_service.logs import get_logger
from imc_service.quotas import Quotas, QuotaSettings, QuotasInvalid

logger = get_logger("quotas")

LOOK_SECONDS = 1.0


@contextlib.asynccontextmanager
async def open_quotas(settings: QuotaSettings, stale: Gauge) -> AsyncGenerator[Quotas]:
    """The quotas that ``settings`` name, kept up to date with their file while the context lasts.

    The file's come in the place of those of the environment. ``stale`` is 1 while the file can't be used and
    older quotas stay. Raises `QuotasInvalid` if there are none yet.
    """
    quotas = Quotas()
    if settings.quotas is not None:
        quotas.read(settings.quotas)
    if settings.quotas_file is None:
        yield quotas
        return
    path = settings.quotas_file
    seen = await asyncio.to_thread(_stamp, path)
    await asyncio.to_thread(quotas.read_file, path)
    async with background.running(_watch(quotas, path, seen, stale)):
        yield quotas


async def _watch(quotas: Quotas, path: Path, seen: object, stale: Gauge) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        stamp = await asyncio.to_thread(_stamp, path)
        if stamp == seen:
            continue
        try:
            await asyncio.to_thread(quotas.read_file, path)
        except QuotasInvalid as error:
            stale.set(1)
            logger.error("the quotas stay as they were: the file can't be used", fault=str(error))
        else:
            stale.set(0)
            logger.info("quotas read anew")
        seen = stamp


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs when the file does: mounted ones are replaced by way of a link."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
