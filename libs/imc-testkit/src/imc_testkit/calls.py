"""Every HTTP call of the contract, for tests that must cover all of them."""

from dataclasses import dataclass
from typing import Any, Literal

import httpx

from imc_testkit.deployment import Deployment


@dataclass(frozen=True)
class Call:
    """One call: its path, the scope it needs, and the fields it takes."""

    name: str
    kind: Literal["command", "query", "overview"]
    """An overview is what operators read, at command-api."""

    scope: str
    path: str
    values: tuple[str, ...]
    place: Literal["json", "batch", "form", "query"]

    @property
    def is_of_java(self) -> bool:
        """Whether the call is one of the Java version's."""
        return self.path.startswith(("/chat/", "/notice/"))

    def code(self, of_v1: int) -> int:
        """The code of a refusal that has the code ``of_v1`` on v1."""
        return -1 if self.is_of_java else of_v1

    async def make(
        self,
        deployment: Deployment,
        http: httpx.AsyncClient,
        headers: dict[str, str] | dict[bytes, bytes],
        **given: Any,
    ) -> httpx.Response:
        """Make the call. Values that are not ``given`` have the defaults of `USUAL`; None omits a field."""
        processes = deployment.query_apis if self.kind == "query" else deployment.command_apis
        all_values = {**USUAL, **given}
        taken = {name: all_values[name] for name in self.values if all_values[name] is not None}
        body: dict[str, Any] = {
            "json": {"json": taken},
            "batch": {"json": {"messages": [taken]}},
            "form": {"data": taken},
            "query": {"params": taken},
        }[self.place]
        method = "POST" if self.kind == "command" else "GET"
        return await http.request(method, processes[0].url + self.path, headers=headers, **body)


USUAL: dict[str, Any] = {
    "appId": "app",
    "groupId": "g",
    "userId": "u",
    "content": "c",
    "messageId": "1",
    "informationId": "1",
    "letterIds": ["1-1"],
}
_SEND = ("appId", "groupId", "userId", "content")
_GROUP, _USER = ("appId", "groupId"), ("appId", "userId")
_BESIDE = ("appId", "groupId", "messageId")
_NOTICES = "/notice/information"

COMMANDS = (
    Call("create", "command", "send", "/v1/commands/send-message", _SEND, "json"),
    Call("createBatch", "command", "send", "/v1/commands/send-messages", _SEND, "batch"),
    Call("recall", "command", "recall", "/v1/commands/recall-message", ("appId", "messageId"), "json"),
    Call("publish", "command", "notice", "/v1/commands/publish-notice", _SEND, "json"),
    Call("delete", "command", "notice", "/v1/commands/delete-notice", ("appId", "informationId"), "json"),
)
JAVA_COMMANDS = (
    Call("java create", "command", "send", "/chat/message/create", _SEND, "json"),
    Call("java recall", "command", "recall", "/chat/message/recall", ("messageId",), "json"),
    Call("java publish", "command", "notice", f"{_NOTICES}/create", _SEND, "json"),
    Call("java delete", "command", "notice", f"{_NOTICES}/delete", ("informationId",), "json"),
    Call("java delete by form", "command", "notice", f"{_NOTICES}/delete", ("informationId",), "form"),
    Call("java delete by query", "command", "notice", f"{_NOTICES}/delete", ("informationId",), "query"),
)
V1_QUERIES = (
    Call("messages", "query", "read", "/v1/queries/messages", _GROUP, "query"),
    Call("message", "query", "read", "/v1/queries/message", ("appId", "messageId"), "query"),
    Call("groups of a user", "query", "read", "/v1/queries/groups", _USER, "query"),
    Call("notices", "query", "read", "/v1/queries/notices", _GROUP, "query"),
    Call("export messages", "query", "read", "/v1/queries/export-messages", _GROUP, "query"),
    Call("export notices", "query", "read", "/v1/queries/export-notices", _GROUP, "query"),
)
JAVA_QUERIES = (
    Call("of a group", "query", "read", "/chat/message/findByGroupId", _GROUP, "query"),
    Call("of a user", "query", "read", "/chat/message/findByUserId", _USER, "query"),
    Call("of a user in a group", "query", "read", "/chat/message/findByGroupIdAndUserId", _SEND, "query"),
    Call("before", "query", "read", "/chat/message/findBeforeByMessageId", _BESIDE, "query"),
    Call("after", "query", "read", "/chat/message/findAfterByMessageId", _BESIDE, "query"),
    Call("groups", "query", "read", "/chat/group/findGroupListByUserId", _USER, "query"),
    Call("notices of a group", "query", "read", f"{_NOTICES}/findByGroupId", _GROUP, "query"),
    Call("notices of a user", "query", "read", f"{_NOTICES}/findByUserId", _USER, "query"),
    Call("notices by both", "query", "read", f"{_NOTICES}/findByGroupIdAndUserId", _SEND, "query"),
)
OPERATOR_CALLS = (
    Call("apps", "overview", "operate", "/v1/apps", (), "query"),
    Call("installation", "overview", "operate", "/v1/installation", (), "query"),
    Call("activity", "overview", "operate", "/v1/installation/activity", (), "query"),
    Call("dead letters", "overview", "operate", "/v1/dead-letters", (), "query"),
    Call("replay", "command", "operate", "/v1/dead-letters/replay", ("appId", "letterIds"), "json"),
    Call("drop", "command", "operate", "/v1/dead-letters/drop", ("appId", "letterIds"), "json"),
    Call("erase user", "command", "operate", "/v1/commands/erase-user", _USER, "json"),
    Call("erase group", "command", "operate", "/v1/commands/erase-group", _GROUP, "json"),
    Call("erase app", "command", "operate", "/v1/commands/erase-app", ("appId",), "json"),
    Call("erasures", "overview", "operate", "/v1/erasures", ("appId",), "query"),
)
QUERIES = V1_QUERIES + JAVA_QUERIES
CALLS = COMMANDS + JAVA_COMMANDS + QUERIES

# Some paths take several kinds of bodies.
COMMAND_PATHS = tuple(dict.fromkeys(call.path for call in COMMANDS + JAVA_COMMANDS))
QUERY_PATHS = tuple(call.path for call in QUERIES)
