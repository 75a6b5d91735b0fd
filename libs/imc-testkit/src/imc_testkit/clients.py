"""HTTP clients whose requests and replies are recorded."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

from imc_testkit.deployment import Deployment
from imc_testkit.history import Answer, Attempt, Erasing, History, Recall, Seen, Send, digest
from imc_testkit.processes import Process
from imc_testkit.waiting import wait_until

Body = dict[str, Any]

REPLY_SECONDS = 8.0
"""Longer than the processes wait for Redis, so that they can report the result of a request."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UNAVAILABLE, _SERVER_FAULT = 50301, 50000
_JAVA_ERROR, _FAULT_STATUS = -1, 500
_AGAIN_SECONDS = 0.1
_WORDS = ("plain", "emoji 😀", 'quotes " \\ \n', "中文", "\u2028 %s {} NUL \x00")


@dataclass(frozen=True)
class Draft:
    """A message to send: its record in the history, and the body of ``create``."""

    send: Send
    body: Body

    @property
    def is_repeatable(self) -> bool:
        """Whether it has a ``clientMessageId`` and is not acknowledged yet."""
        return self.send.client_message_id is not None and self.send.answer is not Answer.ACKNOWLEDGED


class Clients:
    """Clients behind a load balancer: each request goes to a random process."""

    def __init__(self, deployment: Deployment, http: httpx.AsyncClient, history: History) -> None:
        self._deployment = deployment
        self._http = http
        self._history = history
        self._random = Random(history.seed)  # noqa: S311 - repeatable, not secret
        self._drafts = 0

    def draft(self, app_id: str, *, with_id: bool) -> Draft:
        """Make a new message with unique content."""
        self._drafts += 1
        words = self._random.choice(_WORDS) * self._random.choice((1, 1, 1, 20))
        content = f"{self._history.seed}/{self._drafts} {words}"
        own_id = f"{self._history.seed}-{self._drafts}" if with_id else None
        group_id = f"group {self._random.randrange(3)}"
        body: Body = {"appId": app_id, "groupId": group_id, "userId": "user", "content": content}
        send = Send(app_id, group_id, digest(content), own_id)
        self._history.sends.append(send)
        return Draft(send, {**body, "clientMessageId": own_id} if with_id else body)

    def attempt(self, draft: Draft, via: str) -> Attempt:
        """Record that a draft is being sent."""
        attempt = Attempt(via, time.monotonic())
        draft.send.attempts.append(attempt)
        return attempt

    async def send(self, draft: Draft) -> Attempt:
        """Send one message with ``create``."""
        attempt = self.attempt(draft, "create")
        answer, data = await self._post("/v1/commands/send-message", draft.body)
        self._note(attempt, answer, data)
        return attempt

    async def send_batch(self, drafts: Sequence[Draft]) -> list[Attempt]:
        """Send messages of any apps in one request."""
        attempts = [self.attempt(draft, "createBatch") for draft in drafts]
        answer, data = await self._post(
            "/v1/commands/send-messages", {"messages": [draft.body for draft in drafts]}
        )
        for at, attempt in enumerate(attempts):
            item = data[at] if answer is Answer.ACKNOWLEDGED else None
            if item is None or "messageId" in item:
                self._note(attempt, answer, item)
            else:
                self._note(attempt, _answer_of(item["code"]), None)
        return attempts

    async def recall(self, app_id: str, message_id: str, *, named: bool = True) -> Recall:
        """Recall a message: on v1 if the request names the app, else as clients of the Java version do."""
        recall = Recall(app_id, message_id, time.monotonic())
        self._history.recalls.append(recall)
        body = {"messageId": message_id, "recallCause": "typo"}
        if named:
            recall.answer, _ = await self._post("/v1/commands/recall-message", {"appId": app_id, **body})
        else:
            recall.answer, _ = await self._post("/chat/message/recall", body)
        recall.ended = time.monotonic()
        return recall

    async def erase(self, app_id: str, *, group_id: str | None = None) -> Erasing:
        """Erase a group or an app, again and again until that is acknowledged."""
        path = "/v1/commands/erase-app" if group_id is None else "/v1/commands/erase-group"
        body = {"appId": app_id} if group_id is None else {"appId": app_id, "groupId": group_id}
        while True:
            answer, data = await self._post(path, body)
            if answer is Answer.ACKNOWLEDGED:
                erasing = Erasing(app_id, data["erasureId"], data["cursor"], group_id=group_id)
                self._history.erasures.append(erasing)
                return erasing
            await asyncio.sleep(_AGAIN_SECONDS)

    async def erased(self, app_id: str, timeout: float = 60.0) -> list[dict[str, Any]]:
        """Wait until all erasures of an app are done; the reports, the newest first."""
        reports: list[dict[str, Any]] = []

        async def are_done() -> bool:
            nonlocal reports
            url = self._any(self._deployment.command_apis) + "/v1/erasures"
            try:
                reply = await self._http.get(url, params={"appId": app_id, "limit": 500})
            except httpx.TransportError:
                return False
            reports = reply.json()["data"]["erasures"] if reply.is_success else []
            known = {each["erasureId"] for each in reports if each["stage"] == "done"}
            wanted = {each.erasure_id for each in self._history.erasures if each.app_id == app_id}
            return wanted <= known and all(each["stage"] == "done" for each in reports)

        await wait_until(are_done, timeout, 0.1, what=f"the erasures of {app_id} to be done")
        return reports

    async def read(self, app_id: str, group_id: str) -> None:
        """Read messages of a group, if there is a query-api that answers."""
        if not self._deployment.query_apis:
            return
        asked = time.monotonic()
        parameters = {"appId": app_id, "groupId": group_id, "pageSize": 500, "withTotal": "false"}
        try:
            reply = await self._http.get(
                self._any(self._deployment.query_apis) + "/chat/message/findByGroupId", params=parameters
            )
        except httpx.TransportError:
            return
        if reply.is_success:
            self._history.seen += [
                Seen(app_id, message["messageId"], digest(message["content"]), asked)
                for message in reply.json()["data"]["pageMessageList"]
            ]

    async def _post(self, path: str, body: Body) -> tuple[Answer, Any]:
        try:
            reply = await self._http.post(self._any(self._deployment.command_apis) + path, json=body)
            envelope = reply.json()
        except _NEVER_SENT:
            return Answer.REFUSED, None
        except (httpx.TransportError, ValueError):
            return Answer.UNKNOWN, None
        if envelope["code"] == _JAVA_ERROR:
            # Its clients know one code for every refusal; the status tells more.
            return Answer.UNKNOWN if reply.status_code == _FAULT_STATUS else Answer.REFUSED, None
        return _answer_of(envelope["code"]), envelope["data"]

    def _note(self, attempt: Attempt, answer: Answer, receipt: Any) -> None:
        attempt.answer, attempt.ended = answer, time.monotonic()
        if answer is Answer.ACKNOWLEDGED:
            attempt.message_id, attempt.cursor = receipt["messageId"], receipt["cursor"]
            self._history.acknowledgements += 1

    def _any(self, processes: Sequence[Process]) -> str:
        return self._random.choice(processes).url


def _answer_of(code: int) -> Answer:
    if code == 0:
        return Answer.ACKNOWLEDGED
    # By contract, 50301 means that nothing was accepted. Other 5xxxx codes leave the result unknown.
    return Answer.REFUSED if code < _SERVER_FAULT or code == _UNAVAILABLE else Answer.UNKNOWN
