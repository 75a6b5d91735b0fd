"""The internal API with which push-nodes read events from the database that the log has trimmed.

``GET /internal/log/changes?appId=&after=&before=&notices=&erasures=&limit=``, between services only. The
reply has the first changes after the entry ``after`` and before the entry ``before``, in log order: at most
``limit``, and fewer if their contents are long. The next page begins after the last of them. Rows may have
been removed: then the reply says up to which entry changes may be missing.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from imc_contracts.views import Erasure, Message, Notice

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


class ErasureChange(TypedDict):
    """Something was erased. Only callers that ask for erasures get it. ``entryId`` as in `MessageChange`."""

    entryId: str
    kind: Literal["e"]
    view: Erasure


LogChange = Annotated[MessageChange | NoticeChange | ErasureChange, Field(discriminator="kind")]


class LogChangesPage(TypedDict):
    """A page of changes. ``isLast`` says that no more follow; if they do, ``changes`` is not empty.

    ``removedTo`` is the id of an entry: changes up to it, with it, may be missing. Absent if none is.
    """

    changes: list[LogChange]
    isLast: bool
    removedTo: NotRequired[str]
