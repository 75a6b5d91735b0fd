"""The internal API with which push-nodes read events from the database that the log has trimmed.

``GET /internal/log/changes?appId=&after=&before=&notices=&limit=``, between services only. The reply has the
first ``limit`` changes after the entry ``after`` and before the entry ``before``, in log order. Fewer than
``limit`` are the last ones.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from imc_contracts.views import Message, Notice

PATH = "/internal/log/changes"


class MessageChange(TypedDict):
    """A message was sent, or recalled.

    ``entryId`` is the id of the entry, ``kind`` an `EventKind`. A sent message is shown in its current state:
    without content if it was recalled later.
    """

    entryId: str
    kind: Literal["s", "r"]
    view: Message


class NoticeChange(TypedDict):
    """A notice was published (shown as it was then) or deleted. ``entryId`` as in `MessageChange`."""

    entryId: str
    kind: Literal["p", "d"]
    view: Notice


LogChange = Annotated[MessageChange | NoticeChange, Field(discriminator="kind")]
