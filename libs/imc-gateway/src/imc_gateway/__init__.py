"""What a gateway of IMC is written with.

`connect` makes a gateway; `Client` and `AsyncClient` carry out the calls of `imc_gateway.calls` over HTTP.
"""

from imc_gateway import calls
from imc_gateway.calls import message_body
from imc_gateway.clients import AsyncClient, Client
from imc_gateway.errors import Disconnected, Ended, ImcError, Replaced
from imc_gateway.gateway import Gateway
from imc_gateway.models import (
    Erased,
    Event,
    Gap,
    Group,
    Message,
    MessageRecalled,
    MessageSent,
    Notice,
    NoticeDeleted,
    NoticePublished,
    Sent,
)
from imc_gateway.opening import connect
from imc_gateway.stores import FileStore, MemoryStore, Store

__all__ = [
    "AsyncClient",
    "Client",
    "Disconnected",
    "Ended",
    "Erased",
    "Event",
    "FileStore",
    "Gap",
    "Gateway",
    "Group",
    "ImcError",
    "MemoryStore",
    "Message",
    "MessageRecalled",
    "MessageSent",
    "Notice",
    "NoticeDeleted",
    "NoticePublished",
    "Replaced",
    "Sent",
    "Store",
    "calls",
    "connect",
    "message_body",
]
