"""The calls of operators, against a server that answers what a test puts into it."""

import json
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from imc_testkit.command import Imc

pytestmark = pytest.mark.programs

GATEWAY = {
    "appId": "demo",
    "gatewayId": "gateway-1",
    "door": "v1",
    "transport": "websocket",
    "node": "push-node-0",
    "connectedAt": 1_795_954_457_693,
    "state": "live",
    "lagEntries": 3,
    "lagBytes": 512,
    "lagSeconds": 0.5,
    "sendsAccepted": 7,
    "sendsRefused": 1,
    "groupsHeld": None,
    "lastClose": None,
}
APP = {
    "appId": "demo",
    "sendsPerSecond": 12.34,
    "sendsRefusedPerSecond": 0.0,
    "pushesPerSecond": 120.0,
    "backlogEntries": 5,
    "backlogSeconds": 0.25,
    "gateways": 10,
    "deadLetters": 2,
    "quotas": None,
    "retentionDays": None,
    "abandonedGroupDays": None,
    "isSuspended": False,
}


def letter(number: int, app_id: str = "demo") -> dict[str, Any]:
    return {
        "appId": app_id,
        "letterId": f"{number}-0",
        "logId": f"{number}-9",
        "kind": "s",
        "reason": "1406 Data too long",
        "time": 1_795_954_457_693,
    }


@dataclass
class Stub:
    """Answers each path with the data that were put there, in turn, and notes what it was asked."""

    url: str
    data: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])

    def imc(self) -> Imc:
        return Imc({"IMC_URL": self.url, "IMC_TOKEN": "a-token", "no_proxy": "127.0.0.1"})


@pytest.fixture
def stub() -> Generator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(dict(parse_qsl(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, request: dict[str, Any]) -> None:
            assert self.headers["Authorization"] == "Bearer a-token"
            path = urlsplit(self.path).path
            found.asked.append((path, request))
            waiting = found.data.get(path)
            if waiting:
                envelope = {"success": True, "code": 0, "message": "success", "data": waiting.pop(0)}
            else:
                envelope = {"success": False, "code": 40403, "message": "no such gateway", "data": None}
            body = json.dumps(envelope).encode()
            self.send_response(200 if waiting is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Stub(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def page(key: str, items: list[Any], after: str | None = None) -> dict[str, Any]:
    return {key: items, "hasMore": after is not None, "next": after}


def test_gateways_are_listed_page_by_page(stub: Stub) -> None:
    closed = {**GATEWAY, "gatewayId": "g2", "lastClose": {"code": 4408, "reason": "slow", "time": 1}}
    pages = [page("gateways", [GATEWAY], "more"), page("gateways", [closed])]
    stub.data["/v1/gateways"] = [*pages, pages[0]]
    shown = stub.imc()("gateways", "list", "--app", "demo", "--node", "push-node-0", "--all").splitlines()
    assert shown[0].startswith(
        "APP\tGATEWAY\tDOOR\tTRANSPORT\tNODE\tSINCE\tSTATE\tBEHIND\tBYTES BEHIND\tSECONDS BEHIND\tSENDS"
    )
    assert shown[1] == (
        "demo\tgateway-1\tv1\twebsocket\tpush-node-0\t2026-11-29T12:14:17.693Z\tlive\t3\t512\t0.5\t7\t1\t"
    )
    assert shown[2].endswith("4408 slow 1970-01-01T00:00:00.001Z")
    query = {"appId": "demo", "node": "push-node-0", "limit": "500"}
    assert [each for _, each in stub.asked] == [query, {**query, "after": "more"}]
    assert json.loads(stub.imc()("gateways", "list", "--limit", "1", "--json")) == GATEWAY
    assert stub.asked[-1][1] == {"limit": "1"}
    for state in ("behind", "closed"):
        stub.data["/v1/gateways"] = [page("gateways", [{**GATEWAY, "state": state}])]
        assert f"\t{state}\t" in stub.imc()("gateways", "list", f"--{state}")
        assert stub.asked[-1][1] == {"state": state, "limit": "50"}


def test_a_gateway_is_disconnected_wherever_it_is(stub: Stub) -> None:
    path = "/v1/gateways/a%2Fb/g%201/disconnect"
    stub.data[path] = [{"disconnected": 1}]
    assert (
        stub.imc()("gateways", "disconnect", "--app", "a/b", "--reason", "why", "g 1") == "1 disconnected\n"
    )
    assert stub.asked == [(path, {"reason": "why"})]
    assert "40403: no such gateway" in stub.imc().refused("gateways", "disconnect", "--app", "a", "g")


def test_apps_are_listed_the_noisiest_first(stub: Stub) -> None:
    noisy = {**APP, "quotas": {"sends": 5}, "retentionDays": 365.0, "isSuspended": True}
    stub.data["/v1/apps"] = [page("apps", [APP, noisy], "more"), page("apps", [APP])]
    shown = stub.imc()("apps", "--noisiest", "--limit", "2").splitlines()
    assert shown[1] == "demo\t12.34\t0.00\t120.00\t5\t0.25\t10\t2\t\t\t\t"
    assert shown[2].endswith('\t{"sends": 5}\t365\t\tyes')
    assert json.loads(stub.imc()("apps", "--json")) == APP
    assert [each for _, each in stub.asked] == [
        {"order": "noisiest", "limit": "2"},
        {"order": "id", "limit": "50"},
    ]


def test_letters_are_listed_and_replayed_in_batches(stub: Stub) -> None:
    many = [letter(number) for number in range(100, 205)]
    stub.data["/v1/dead-letters"] = [
        page("letters", many[:100], "more"),
        page("letters", [*many[100:], letter(1, "other")]),
    ] * 2
    listed = stub.imc()("deadletters", "list").splitlines()
    assert (len(listed), listed[-1].split("\t")[:4]) == (107, ["1-0", "other", "1-9", "s"])
    stub.data["/v1/dead-letters/replay"] = [
        {"done": 99, "failed": [{"letterId": "100-0", "reason": "still too long"}]},
        {"done": 5, "failed": []},
        {"done": 1, "failed": []},
    ]
    done = stub.imc().run("deadletters", "replay", "--all")
    assert (done.returncode, done.stdout) == (1, "105 done, 1 not\n")
    assert done.stderr == "100-0 of demo stays: still too long\n"
    replays = [body for path, body in stub.asked if path.endswith("/replay")]
    assert [(each["appId"], len(each["letterIds"])) for each in replays] == [
        ("demo", 100),
        ("demo", 5),
        ("other", 1),
    ]


def test_letters_are_dropped_after_a_question(stub: Stub) -> None:
    stub.data["/v1/dead-letters"] = [page("letters", [letter(1)]) for _ in range(3)]
    stub.data["/v1/dead-letters/drop"] = [{"done": 1, "failed": []} for _ in range(3)]
    no = stub.imc().run("deadletters", "drop", "--app", "demo", "--all", typed=b"n\n")
    assert (no.returncode, no.stdout) == (130, "")
    assert "Forget 1 dead letters for ever?" in no.stderr
    yes = stub.imc().run("deadletters", "drop", "--app", "demo", "--all", typed=b"y\n")
    assert (yes.returncode, yes.stdout) == (0, "1 done, 0 not\n")
    assert stub.imc()("deadletters", "drop", "--app", "demo", "--all", "--yes") == "1 done, 0 not\n"
    assert stub.imc()("deadletters", "drop", "--app", "demo", "7-0") == "1 done, 0 not\n"
    assert stub.asked[-1][1] == {"appId": "demo", "letterIds": ["7-0"]}


REPORT = {
    "erasureId": "77",
    "appId": "demo",
    "userId": "ann",
    "groupId": None,
    "eraseTime": 1_795_954_457_693,
    "finishTime": 1_795_954_462_693,
    "stage": "done",
    "erasedMessages": 5,
    "erasedNotices": 1,
    "erasedLogEntries": 4,
    "erasedDeadLetters": 0,
}
ACCEPTED = {"erasureId": "77", "eraseTime": 1_795_954_457_693, "cursor": "e.1-0"}


def test_an_erasure_is_waited_for_and_reported(stub: Stub) -> None:
    stub.data["/v1/commands/erase-user"] = [ACCEPTED]
    under_way = {**REPORT, "stage": "log", "finishTime": 0}
    stub.data["/v1/erasures"] = [page("erasures", found) for found in ([], [under_way], [REPORT])]
    shown = stub.imc()("erase", "user", "--app", "demo", "--yes", "ann").splitlines()
    assert shown[0].startswith("ERASURE\tTIME\tWHAT\tSTAGE\tDONE\tMESSAGES\tNOTICES\tLOG ENTRIES")
    assert shown[1] == ("77\t2026-11-29T12:14:17.693Z\tuser ann\tdone\t2026-11-29T12:14:22.693Z\t5\t1\t4\t0")
    assert stub.asked[0] == ("/v1/commands/erase-user", {"appId": "demo", "userId": "ann"})
    assert stub.asked[1:] == [("/v1/erasures", {"appId": "demo", "erasureId": "77", "limit": "50"})] * 3


def test_an_erasure_is_asked_about_first(stub: Stub) -> None:
    stub.data["/v1/commands/erase-group"] = [ACCEPTED]
    stub.data["/v1/commands/erase-app"] = [ACCEPTED]
    no = stub.imc().run("erase", "group", "--app", "demo", "lobby", typed=b"n\n")
    assert (no.returncode, no.stdout) == (130, "")
    assert "Erase all of the group lobby in demo, for ever?" in no.stderr
    assert stub.asked == []
    yes = stub.imc().run("erase", "group", "--app", "demo", "--no-wait", "lobby", typed=b"y\n")
    assert (yes.returncode, yes.stdout) == (0, "77  accepted\n")
    told = stub.imc()("erase", "app", "--app", "demo", "--yes", "--no-wait", "--json")
    assert json.loads(told) == ACCEPTED
    assert [body for _, body in stub.asked] == [{"appId": "demo", "groupId": "lobby"}, {"appId": "demo"}]


def test_erasures_are_listed(stub: Stub) -> None:
    group, app = {**REPORT, "userId": None, "groupId": "g"}, {**REPORT, "userId": None}
    stub.data["/v1/erasures"] = [page("erasures", [group], "more"), page("erasures", [app])]
    shown = stub.imc()("erase", "list", "--app", "demo", "--all").splitlines()
    assert [line.split("\t")[2] for line in shown[1:]] == ["group g", "app"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["replay"], "or say --all"),
        (["replay", "--all", "--app", "a", "1-0"], "or say --all"),
        (["drop", "1-0"], "Name the --app"),
    ],
)
def test_which_letters_must_be_said(alone: Imc, arguments: list[str], part: str) -> None:
    assert part in alone.refused("deadletters", *arguments, code=2)


def test_a_direct_look_needs_settings_and_servers(alone: Imc) -> None:
    call = ("deadletters", "list", "--direct")
    assert "IMC_REDIS_URL: is missing" in alone.refused(*call, code=2)
    away = {"IMC_REDIS_URL": "redis://127.0.0.1:1", "IMC_DATABASE_URL": "sqlite:////tmp/none/imc.db"}
    assert "Redis does not answer as it should" in alone.with_(**away).refused(*call)
