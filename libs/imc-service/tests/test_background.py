import asyncio

import pytest
from imc_service import background


async def test_work_that_fails_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "AGAIN_SECONDS", 0)
    begun, again = 0, asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ZeroDivisionError
        again.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(background.lasting(work))
    async with asyncio.timeout(5):
        await again.wait()
    await background.end([task])
    assert (begun, task.cancelled()) == (2, True)
