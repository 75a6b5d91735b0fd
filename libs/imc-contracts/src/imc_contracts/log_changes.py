"""What the log no longer holds, as the database remembers it: how push-nodes ask query-api for it.

``GET /internal/log/changes?appId=&after=&before=&notices=&limit=``, between services only. The
data of the reply is the list of the changes that lie after the entry ``after`` and before the entry
``before``, in the order of the log, the first ``limit`` of them: fewer are the last.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from imc_contracts.views import Message, Notice

PATH = "/internal/log/changes"


class MessageChange(TypedDict):
    """A message was sent, or recalled.

    ``place`` is its entry's id, ``kind`` an `EventKind`. One that was sent is shown as it is now: without its
    content, if it was recalled since.
    """

    place: str
    kind: Literal["s", "r"]
    view: Message


class NoticeChange(TypedDict):
    """A notice was published, and is shown as it was then, or deleted; ``place`` as in `MessageChange`."""

    place: str
    kind: Literal["p", "d"]
    view: Notice


LogChange = Annotated[MessageChange | NoticeChange, Field(discriminator="kind")]
