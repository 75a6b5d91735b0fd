"""Where apps and shards go."""

from collections import Counter

import pytest
from imc_capacity import shards


@pytest.mark.parametrize(("shard", "slot"), [(0, 13907), (1, 9842), (17, 12304), (255, 14163)])
def test_a_slot_is_what_redis_says(shard: int, slot: int):
    """As ``CLUSTER KEYSLOT imc:{17}:log:demo`` answers."""
    assert shards.slot_of(shard) == slot


def test_masters_get_the_ranges_that_redis_cli_gives_them(monkeypatch: pytest.MonkeyPatch):
    """``redis-cli --cluster create`` with three masters: 0-5460, 5461-10922, 10923-16383."""
    slots = {0: 0, 1: 5460, 2: 5461, 3: 10922, 4: 10923, 5: 16383}
    monkeypatch.setattr(shards, "slot_of", lambda shard: slots.get(shard, 0))
    assert shards.by_slots(3)[:6] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("engines", [1, 3, 256])
def test_each_projector_has_as_many_shards_as_another_or_one_more(engines: int):
    counts = Counter(shards.evenly(engines)).values()
    assert len(counts) == engines
    assert max(counts) - min(counts) <= 1


def test_shards_placed_by_load_are_even_where_they_can_be():
    owners = shards.by_load([5, 1, 1, 1, 1, 1], 2)
    loads = Counter[int]()
    for owner, load in zip(owners, [5, 1, 1, 1, 1, 1], strict=True):
        loads[owner] += load
    assert loads == {owners[0]: 5, 1 - owners[0]: 5}
