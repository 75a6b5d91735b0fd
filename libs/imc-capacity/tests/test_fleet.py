"""Fleets app by app: where load lands, what saturates first, and what is advised."""

import math
from dataclasses import replace

import pytest
from imc_capacity import text
from imc_capacity.advice import fleet_advice
from imc_capacity.constants import Constants
from imc_capacity.fleet import Engines, Fleet, Simulation, simulate, traffic

FLEET = Fleet(apps=2_000, sends=20_000, gateways=4, masters=4, projectors=4, push_nodes=10)


def engines(found: Simulation, kind: str) -> Engines:
    return next(each for each in found.engines if each.kind == kind)


def test_traffic_falls_by_the_law_of_zipf():
    apps = traffic(Fleet(apps=1_000, sends=5_000, skew=1.0, gateways=7))
    assert math.fsum(app.sends for app in apps) == pytest.approx(5_000)
    assert apps[0].sends / apps[9].sends == pytest.approx(10)
    assert sum(app.gateways for app in apps) == 7_000
    assert apps[0].gateways / apps[99].gateways == pytest.approx(10, rel=0.1)
    even = traffic(Fleet(apps=10, sends=5_000, skew=0))
    assert {round(app.sends) for app in even} == {500}


def test_the_same_seed_makes_the_same_fleet(shipped: Constants):
    assert simulate(shipped, FLEET) == simulate(shipped, FLEET)
    assert simulate(shipped, replace(FLEET, seed=2)) != simulate(shipped, FLEET)


def test_load_is_placed_not_lost(shipped: Constants):
    """However many engines share the work of Redis and projectors, its sum is the same."""
    one, many = (simulate(shipped, replace(FLEET, masters=count, projectors=count)) for count in (1, 32))
    for kind in ("redis", "projector"):
        assert math.fsum(engines(many, kind).loads) == pytest.approx(math.fsum(engines(one, kind).loads))
        assert engines(one, kind).unevenness == pytest.approx(1)
        assert engines(many, kind).unevenness > 1
    rows = 20_000 * shipped.projector_row_us / 1e6
    assert math.fsum(engines(one, "projector").loads) == pytest.approx(rows)


def test_no_engine_is_less_full_than_its_largest_app(shipped: Constants):
    for each in simulate(shipped, replace(FLEET, skew=1.5, masters=32)).engines:
        assert each.largest_app <= each.fullest + 1e-9
        assert each.mean <= each.spread_by_load + 1e-9


def test_moved_slots_are_never_worse(shipped: Constants):
    for seed in range(5):
        redis = engines(simulate(shipped, replace(FLEET, masters=16, skew=0.5, seed=seed)), "redis")
        assert redis.spread_by_load < redis.fullest
        assert redis.spread_by_load / redis.mean < 1.05


def test_the_fullest_kind_stands_first(shipped: Constants):
    found = simulate(shipped, FLEET)
    assert [each.fullest for each in found.engines] == sorted(
        (each.fullest for each in found.engines), reverse=True
    )


def test_a_million_sends_of_a_hundred_thousand_apps(shipped: Constants):
    fleet = Fleet(
        apps=100_000, sends=1_000_000, gateways=2, masters=64, projectors=128, push_nodes=400, batch=20
    )
    found = simulate(shipped, fleet)
    assert math.fsum(engines(found, "projector").loads) == pytest.approx(1e6 * shipped.projector_row_us / 1e6)
    assert len(engines(found, "push-node").loads) == 400


@pytest.mark.parametrize(
    ("changes", "advised"),
    [
        ({"sends": 100.0}, "no engine is more than 70% busy"),
        ({"sends": 0.0, "gateways": 0}, "nothing is sent"),
        ({"sends": 200_000.0, "skew": 0.1}, "add masters"),
        ({"sends": 200_000.0, "skew": 0.1}, "add projectors"),
        ({"sends": 200_000.0, "skew": 0.1}, "add command-apis"),
        ({"sends": 200_000.0, "skew": 0.1}, "add push-nodes"),
        ({"sends": 200_000.0, "skew": 1.5, "masters": 32}, "An app has one order"),
        ({"sends": 50_000.0, "skew": 1.5, "projectors": 32}, "its history falls behind while the peak lasts"),
    ],
)
def test_what_is_advised(shipped: Constants, changes: dict[str, float], advised: str):
    fleet = replace(FLEET, **changes)  # pyright: ignore[reportArgumentType]
    assert any(advised in said for said in fleet_advice(simulate(shipped, fleet), fleet))


def test_slots_are_advised_where_moving_them_is_enough(shipped: Constants):
    fleet = replace(FLEET, sends=200_000, skew=0.1, gateways=0, masters=64, batch=10)
    redis = engines(simulate(shipped, fleet), "redis")
    fleet = replace(fleet, busy=(redis.fullest + redis.spread_by_load) / 2)
    assert any("move slots" in said for said in fleet_advice(simulate(shipped, fleet), fleet))


def test_a_simulation_is_shown_whole(shipped: Constants):
    shown = text.of_simulation(simulate(shipped, FLEET), FLEET)
    for kind in ("redis", "projector", "push-node", "command-api"):
        assert kind in shown
