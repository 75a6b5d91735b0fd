import re
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_contracts import names

plain_ids = st.from_regex(r"[A-Za-z0-9._~-]{1,127}", fullmatch=True)
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=127) | st.text(
    "a%:{}[]* ", min_size=1
)
app_ids = plain_ids | ids
client_ids = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)
minutes = st.integers(0, 2**40)

PLAIN: list[Callable[[str], str]] = [
    names.log,
    names.log_state,
    names.send_quota,
    names.recalled,
    names.dead_letters,
    names.gateways,
    names.gateway_fence,
    names.gateway_slots,
]
OF_SHARD: list[Callable[[int], str]] = [
    *(names.apps, names.pending, names.changes, names.owner),
    *(names.roster, names.roster_rows, names.behind),
]
GLOBAL = [
    names.SHARD_COUNT,
    names.NEW_APPS,
    names.WORKERS,
    names.PUSH_NODES,
    names.PROJECTORS,
    names.PROCESSES,
]
CHANNELS: list[Callable[[str, int], str]] = [names.live, names.gateway_news]
databases = st.integers(0, 2**31 - 1)


def all_of(app_id: str, client_message_id: str) -> list[str]:
    own = [name(app_id) for name in PLAIN] + [name(app_id, 0) for name in CHANNELS]
    copies = [names.log_copy(app_id, 7), names.dead_letters_copy(app_id, 7)]
    return [*own, *copies, names.sent(app_id, client_message_id)]


def all_of_shard(shard: int, minute: int) -> list[str]:
    of_times = (names.recent, names.activity, names.closes, names.closed)
    own = [name(shard) for name in OF_SHARD] + [name(shard, minute) for name in of_times]
    return [*own, names.disconnected(shard, "0a1b")]


def hash_tag(key: str) -> str:
    """The part of a key that decides its slot, as the specification of Redis Cluster defines it."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if opened and closed and tag else key


@given(app_ids, client_ids, minutes)
def test_all_keys_of_an_app_lie_in_the_slot_of_its_shard(
    app_id: str, client_message_id: str, minute: int
) -> None:
    shard = names.shard_of(app_id)
    keys = [*all_of(app_id, client_message_id), *all_of_shard(shard, minute)]
    assert {hash_tag(key) for key in keys} == {str(shard)}
    assert 0 <= shard < names.SHARDS


@given(app_ids)
def test_an_app_is_read_from_the_end_of_its_keys(app_id: str) -> None:
    escaped = names.log(app_id).rpartition(":")[2]
    assert unquote(escaped) == app_id
    assert re.fullmatch(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+", escaped)


@given(plain_ids)
def test_a_plain_id_stands_in_keys_as_it_is(app_id: str) -> None:
    assert names.log(app_id) == f"imc:{{{names.shard_of(app_id)}}}:log:{app_id}"


def test_apps_are_spread_over_all_shards_and_each_has_an_id_that_no_app_can_have() -> None:
    assert {names.shard_of(f"app-{number}") for number in range(5000)} == set(range(names.SHARDS))
    for shard in range(names.SHARDS):
        assert names.shard_of(names.no_app(shard)) == shard
        assert names.no_app(shard).startswith(" ")


@pytest.mark.parametrize(
    ("app_id", "escaped"),
    [
        ("a:b", "a%3Ab"),
        ("应用", "%E5%BA%94%E7%94%A8"),
        ("my app", "my%20app"),
        ("a%b", "a%25b"),
        ("a%3Ab", "a%253Ab"),
        ("{x}", "%7Bx%7D"),
        ("a*[b]?", "a%2A%5Bb%5D%3F"),
    ],
)
def test_other_characters_are_escaped(app_id: str, escaped: str) -> None:
    assert names.live(app_id, 3) == f"imc:{{{names.shard_of(app_id)}}}:live:{escaped}:3"
    assert names.news_of(app_id, 7) == f"{escaped} 7"


@given(ids, st.integers(0, 2**53))
def test_news_of_a_gateway_are_read_as_they_were_written(gateway_id: str, number: int) -> None:
    assert names.read_news(names.news_of(gateway_id, number).encode()) == (gateway_id, number)


@pytest.mark.parametrize("payload", [b"", b"g", b"g ", b"g x", b"g -1", b"\xff", b"g 1 2"])
def test_what_is_no_news_is_passed_over(payload: bytes) -> None:
    assert names.read_news(payload) is None


@given(app_ids, app_ids, client_ids, client_ids)
def test_two_apps_never_share_a_key(a: str, b: str, x: str, y: str) -> None:
    of_a, of_b = set(all_of(a, x)), set(all_of(b, y))
    if a != b:
        assert not of_a & of_b


@given(app_ids, app_ids, databases, databases)
def test_installations_on_two_databases_share_no_channel(a: str, b: str, x: int, y: int) -> None:
    for name in CHANNELS:
        assert (name(a, x) == name(b, y)) == ((a, x) == (b, y))


@given(app_ids, client_ids, minutes)
def test_the_keys_of_an_app_differ_from_one_another_and_from_the_global_ones(
    app_id: str, client_message_id: str, minute: int
) -> None:
    shard = names.shard_of(app_id)
    keys = [*all_of(app_id, client_message_id), *all_of_shard(shard, minute), *GLOBAL]
    assert len(set(keys)) == len(keys)


def test_every_builder_of_a_name_is_tested_here() -> None:
    builders = {
        name
        for name, value in vars(names).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == names.__name__
    }
    assert builders == {name.__name__ for name in (*PLAIN, *OF_SHARD, *CHANNELS)} | {
        "shard_of",
        "no_app",
        "closed",
        "sent",
        "log_copy",
        "dead_letters_copy",
        "recent",
        "closes",
        "activity",
        "all_activity",
        "disconnected",
        "news_of",
        "read_news",
        "Disconnect",
        "disconnect_of",
        "read_disconnect",
    }


@given(ids, st.text(st.characters(exclude_categories=["Cs"]), max_size=123))
def test_a_command_to_disconnect_is_read_as_it_was_written(gateway_id: str, reason: str) -> None:
    command = names.Disconnect(gateway_id, "0a1b", reason)
    payload = names.disconnect_of(command).encode()
    assert names.read_disconnect(payload) == command
    # A node of before takes it for nothing.
    assert names.read_news(payload) is None


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"x 7", b"x disconnect", b"x connect a b", b"a b c d e", b"\xff"]
)
def test_anything_else_disconnects_nobody(payload: bytes) -> None:
    assert names.read_disconnect(payload) is None


def test_known_names() -> None:
    """What an installation has stored is found by the next version."""
    assert names.SHARDS == 256
    assert [names.shard_of(app_id) for app_id in ("shop", "应用")] == [162, 53]
    assert names.log("shop") == f"imc:{{{162}}}:log:shop"
    assert names.sent("shop", "a:b") == f"imc:{{{162}}}:sent:shop:a:b"
    assert names.recent(162, 29_816_666) == f"imc:{{{162}}}:recent:29816666"
