"""A gateway of imc-gateway that tests talk to: it reads commands and writes events, each a line of JSON."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from imc_gateway import (
    Ended,
    Erased,
    Event,
    FileStore,
    Gap,
    Gateway,
    ImcError,
    MemoryStore,
    MessageRecalled,
    MessageSent,
    NoticeDeleted,
    NoticePublished,
    connect,
)


def tell(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def tell_event(event: Event) -> None:
    match event:
        case MessageSent(message, is_repaired):
            tell("messageSent", id=message.message_id, content=message.content, isRepaired=is_repaired)
        case MessageRecalled(message, is_repaired):
            tell("messageRecalled", id=message.message_id, content=message.content, isRepaired=is_repaired)
        case Gap(is_repaired):
            tell("gap", isRepaired=is_repaired)
        case NoticePublished(notice):
            tell("noticePublished", id=notice.information_id, content=notice.content)
        case NoticeDeleted(notice):
            tell("noticeDeleted", id=notice.information_id, content=notice.content)
        case Erased(erasure_id):
            tell("erased", id=erasure_id)


async def send(gateway: Gateway, key: str, **body: Any) -> None:
    try:
        sent = await gateway.send(body["groupId"], body["userId"], body["content"], client_message_id=key)
        tell("sent", key=key, id=sent.message_id, duplicate=sent.is_duplicate)
    except ImcError as error:
        tell("refused", key=key, code=error.code)
    except Ended as ended:
        tell("refused", key=key, code=ended.code)


async def main(options: dict[str, Any]) -> None:
    def token() -> str:
        tell("token")
        return Path(options["token"]).read_text()

    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    sending: set[asyncio.Task[None]] = set()
    async with connect(
        options["url"],
        options["appId"],
        options["gatewayId"],
        token=token if options.get("token") else None,
        store=FileStore(options["store"]) if options.get("store") else MemoryStore(),
        notices=options.get("notices", False),
        buffer=options.get("buffer", 256),
    ) as gateway:
        tell("connected")
        while line := await lines.readline():
            command = json.loads(line)
            if "send" in command:
                sending.add(asyncio.create_task(send(gateway, **command["send"])))
            for _ in range(command.get("take", 0)):
                tell_event(await anext(gateway))


try:
    asyncio.run(main(json.loads(sys.argv[1])))
except Ended as ended:
    tell("ended", code=ended.code, kind=type(ended).__name__)
