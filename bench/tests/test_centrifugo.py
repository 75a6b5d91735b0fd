"""Tests Centrifugo as a peer without running it: its configuration, its replies, and when it is missing."""

import base64
import contextlib
import hashlib
import hmac
import stat
from itertools import islice
from pathlib import Path

import orjson
import pytest
from imc_bench.http import drafts, whole_sends
from imc_bench.http.callers import body_of
from imc_bench.peers import centrifugo, installing
from imc_bench.push import fixed_rate, peer_relays
from imc_bench.push.fan_out import judged
from imc_bench.push.publishers import CentrifugoPublisher, HttpSender
from imc_bench.rows import InvalidRun
from imc_testkit.programs import NotInstalled


def test_it_is_configured_to_keep_a_log_and_to_push_without_gaps(tmp_path: Path):
    path = centrifugo.configure(tmp_path / "new", 8123, "redis://127.0.0.1:6390/0")
    written = orjson.loads(path.read_bytes())
    assert written["http_server"] == {"address": "127.0.0.1", "port": 8123}
    assert written["engine"] == {"type": "redis", "redis": {"address": "redis://127.0.0.1:6390/0"}}
    channel = written["channel"]["without_namespace"]
    assert (channel["history_size"], channel["force_recovery"]) == (200_000, True)
    assert written["usage_stats"]["disabled"]


def test_a_token_names_the_channel_and_is_signed_with_the_configured_secret():
    signed, _, signature = centrifugo.token("gateway-1", "app-1").rpartition(".")
    header, claims = (orjson.loads(base64.urlsafe_b64decode(part + "==")) for part in signed.split("."))
    assert header["alg"] == "HS256"
    assert claims == {"sub": "gateway-1", "channels": ["app-1"]}
    client = orjson.loads(orjson.dumps(centrifugo.configuration(1, "")))["client"]
    secret = client["token"]["hmac_secret_key"].encode()
    expected = hmac.digest(secret, signed.encode(), hashlib.sha256)
    assert base64.urlsafe_b64decode(signature + "=") == expected


def test_a_publication_has_the_message_of_a_send():
    requests = islice(whole_sends.publications("app", 3), 2)
    bodies = [orjson.loads(body_of(request) or b"") for request in requests]
    assert [body["channel"] for body in bodies] == ["app", "app"]
    assert [body["data"] for body in bodies] == [drafts.message("app", 3, number) for number in (0, 1)]


def test_replies_are_compared_by_their_offsets():
    reply = b'{"result":{"offset":7,"epoch":"x"}}'
    [[receipt]] = whole_sends.acknowledged([[reply]])
    assert (receipt.message_id, receipt.entry, receipt.content) == ("7", "7-0", drafts.content_of(0, 0))


def test_a_refusal_with_status_200_is_an_invalid_run():
    with pytest.raises(InvalidRun, match="unknown channel"):
        centrifugo.offset(b'{"error":{"code":102,"message":"unknown channel"}}')


class Http(HttpSender):
    """Keeps requests, and answers each with the same reply."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(0)
        self.reply = reply
        self.requests: list[tuple[str, object]] = []

    async def post(self, path: str, body: bytes, media_type: str = "application/json") -> bytes:
        self.requests.append((path, orjson.loads(body)))
        return self.reply


async def test_one_message_is_published_and_several_as_a_batch():
    http = Http(b'{"result":{}}')
    publisher = CentrifugoPublisher(http, "app")
    await publisher.publish(["a"])
    await publisher.publish(["b", "c"])
    several = [{"publish": {"channel": "app", "data": content}} for content in "bc"]
    assert http.requests == [
        ("/api/publish", {"channel": "app", "data": "a"}),
        ("/api/batch", {"commands": several}),
    ]


async def test_a_refused_message_of_a_batch_is_an_invalid_run():
    http = Http(b'{"replies":[{"publish":{}},{"error":{"code":107}}]}')
    with pytest.raises(InvalidRun, match="107"):
        await CentrifugoPublisher(http, "app").publish(["a", "b"])


async def test_without_go_it_is_named_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installing, "CACHE", tmp_path)
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    async with contextlib.AsyncExitStack() as stack:
        peers = {"Centrifugo": peer_relays.centrifugo_relay()}
        assert await peer_relays.installed(stack, peers) == ([], ["Centrifugo"])


def test_without_the_module_proxy_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho dial tcp: no route >&2\nexit 1\n")
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(installing, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(NotInstalled, match="no route"):
        installing.centrifugo()


def test_it_is_built_once_at_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    go, asked = tmp_path / "go", tmp_path / "asked"
    go.write_text(f'#!/bin/sh\necho "$@" >> {asked}\nmkdir -p "$GOBIN" && touch "$GOBIN/centrifugo"\n')
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(installing, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert installing.centrifugo() == installing.centrifugo()
    assert Path(installing.centrifugo()).exists()
    assert asked.read_text() == f"install {installing.CENTRIFUGO}\n"


def test_a_goal_beside_a_missing_peer_is_not_judged():
    assert judged({"IMC": 1.0}, "Centrifugo", 40) == ("≥ 40 × Centrifugo", None, None)
    assert judged({"Centrifugo": 39.0}, "Centrifugo", 40) == ("≥ 40 × Centrifugo", 39.0, False)
    assert judged({"nchan": 0.9}, "nchan", 0.9) == ("≥ 0.9 × nchan", 0.9, True)


@pytest.mark.parametrize(("cpu", "p99", "is_met"), [(0.7, 1.0, True), (0.71, 1.0, False), (0.7, 1.01, False)])
def test_both_cpu_and_p99_decide_at_a_fixed_rate(cpu: float, p99: float, is_met: bool):
    found = {
        "IMC at 100/s": {"CPU": [10 * cpu], "p99": [4 * p99], "p50": [1.0]},
        "Centrifugo at 100/s": {"CPU": [10.0], "p99": [4.0], "p50": [1.0]},
        "IMC at 400/s": {"CPU": [99.0], "p99": [99.0], "p50": [99.0]},
    }
    judged_at_100 = fixed_rate.result(found, 100, [])
    assert (judged_at_100.ratio, judged_at_100.met) == (pytest.approx(cpu), is_met)
    assert list(judged_at_100.figures)[:2] == ["IMC at 100/s, CPU", "Centrifugo at 100/s, CPU"]


def test_sends_are_judged_by_the_cpu_of_all_servers():
    def costs(own: str, cpu: float) -> dict[str, list[float]]:
        return {"CPU": [cpu], f"CPU of {own}": [cpu - 10], "CPU of Redis": [10.0], "p99": [4.0]}

    found = {"IMC": costs("command-api", 50.0), "Centrifugo": costs("Centrifugo", 58.0)}
    judged_sends = whole_sends.result(found, [])
    assert (judged_sends.ratio, judged_sends.met) == (pytest.approx(50 / 58), False)
    shown = list(judged_sends.figures)[: judged_sends.shown]
    assert shown == ["IMC, CPU", "Centrifugo, CPU", "IMC, p99", "Centrifugo, p99"]


def test_rows_beside_a_missing_peer_are_not_judged():
    own = {"CPU": [1.0], "p99": [1.0], "p50": [1.0]}
    results = (
        fixed_rate.result({"IMC at 100/s": own}, 100, ["Centrifugo"]),
        whole_sends.result({"IMC": own}, ["Centrifugo"]),
    )
    for each in results:
        assert (each.ratio, each.met, each.missing) == (None, None, ["Centrifugo"])
