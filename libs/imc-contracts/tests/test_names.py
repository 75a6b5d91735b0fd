from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from imc_contracts import names

app_ids = st.from_regex(r"[A-Za-z0-9._~-]{1,127}", fullmatch=True)
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
    names.gateway_places,
]
CHANNELS: list[Callable[[str, int], str]] = [names.live, names.gateway_news]
databases = st.integers(0, 2**31 - 1)


def all_of(app_id: str, client_message_id: str, minute: int) -> list[str]:
    own = [name(app_id) for name in PLAIN] + [name(app_id, 0) for name in CHANNELS]
    return [*own, names.sent(app_id, client_message_id), names.recent(app_id, minute)]


def hash_tag(key: str) -> str:
    """The part of a key that decides its slot, as the specification of Redis Cluster defines it."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if opened and closed and tag else key


@given(app_ids, client_ids, minutes)
def test_all_keys_of_an_app_lie_in_one_slot(app_id: str, client_message_id: str, minute: int) -> None:
    assert {hash_tag(key) for key in all_of(app_id, client_message_id, minute)} == {app_id}


@given(app_ids, app_ids, client_ids, client_ids, minutes, minutes)
def test_two_apps_never_share_a_key(a: str, b: str, x: str, y: str, m: int, n: int) -> None:
    of_a, of_b = set(all_of(a, x, m)), set(all_of(b, y, n))
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
    keys = [*all_of(app_id, client_message_id, minute), names.APPS, names.WORKERS, names.PUSH_NODES]
    assert len(set(keys)) == len(keys)


def test_every_builder_of_a_name_is_tested_here() -> None:
    builders = {name for name, value in vars(names).items() if callable(value)}
    assert builders == {name.__name__ for name in (*PLAIN, *CHANNELS)} | {"sent", "recent"}


def test_known_names() -> None:
    assert names.log("shop") == "imc:{shop}:log"
    assert names.sent("shop", "a:b") == "imc:{shop}:sent:a:b"
    assert names.recent("shop", 29_816_666) == "imc:{shop}:recent:29816666"
