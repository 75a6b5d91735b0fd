"""Plans: how many of what, what saturates first, and what can't be carried."""

from dataclasses import replace

import pytest
from imc_capacity import advice, text
from imc_capacity.constants import Constants
from imc_capacity.plan import CannotGrow, Plan, plan
from imc_capacity.shards import SHARDS
from imc_capacity.workload import Workload

LARGE = Workload(apps=1_000, sends=100_000, gateways=20, peak_factor=1, batch=10, reads=10_000)


def test_each_kind_has_what_it_needs_and_spare_ones(round_costs: Constants):
    found = plan(round_costs, Workload(sends=10_000, reads=1_000, peak_factor=2, spare=3))
    # 20,000 sends of 120 µs are 2.4 cores, of which 0.7 may be busy; 2,000 pages of 500 µs are one core.
    assert found.command_api.busy_cores == pytest.approx(2.4)
    assert found.command_api.count == 4 + 3
    assert found.query_api.count == 2 + 3
    assert found.query_api.saturation == pytest.approx(0.5)
    assert found.projector.busy_cores == pytest.approx(1.0)
    assert found.projector.count == 2 + 3
    assert found.database.rows_per_second == 20_000
    assert found.database.busy_cores == pytest.approx(1.2)


def test_nothing_at_all_needs_one_of_each(round_costs: Constants):
    found = plan(round_costs, Workload(apps=1, sends=0, gateways=0, reads=0, spare=0))
    pods = (found.command_api, found.push_node, found.query_api, found.projector)
    assert [each.count for each in pods] == [1, 1, 1, 1]
    assert found.redis.count == 1
    assert advice.warnings(found, Workload(apps=1, sends=0)) == []
    assert "0%" in text.of_plan(found, Workload(apps=1, sends=0))


def test_memory_and_disk_follow_averages_not_peaks(round_costs: Constants):
    load = Workload(apps=1, sends=10, content=200, client_ids=0.5, row_days=10, groups=1, gateways=0)
    calm, rushed = (plan(round_costs, replace(load, peak_factor=factor)) for factor in (1, 10))
    assert calm.redis.total_bytes == 2 * (4_000 + 36_000 * 500 + 18_000 * 100)
    assert calm.database.bytes_per_day == 864_000 * 800
    assert calm.database.total_bytes == 10 * 864_000 * 800 + 200
    assert (rushed.redis.total_bytes, rushed.database) == (
        calm.redis.total_bytes,
        replace(calm.database, rows_per_second=100, busy_cores=rushed.database.busy_cores),
    )


def test_an_app_keeps_no_more_entries_than_its_log_may_have(round_costs: Constants):
    found = plan(round_costs, Workload(apps=1, sends=1_000, client_ids=0, log_entries=1_000))
    assert found.redis.total_bytes == 2 * (4_000 + 1_000 * 500)


def test_memory_of_a_push_node_is_that_of_its_gateways(round_costs: Constants):
    found = plan(round_costs, Workload(apps=10, sends=0, gateways=1_000, node_gateways=2_000, spare=1))
    assert found.push_node.count == 5 + 1
    assert found.push_node.memory_bytes == 70e6 + 2_000 * 20_000


def test_what_gateways_send_costs_push_nodes(round_costs: Constants):
    load = Workload(apps=1, sends=40_000, gateways=0, peak_factor=2, spare=0)
    found = plan(round_costs, replace(load, by_gateways=0.5))
    assert plan(round_costs, load).push_node.busy_cores == 0
    assert found.push_node.busy_cores == pytest.approx(40_000 * 25 / 1e6)
    assert found.push_node.count == 2


@pytest.mark.parametrize("busy", [0.3, 0.7, 0.95])
def test_nothing_is_busier_than_it_may_be(shipped: Constants, busy: float):
    for limit in advice.limits(plan(shipped, replace(LARGE, busy=busy))):
        assert limit.saturation <= busy + 1e-9, limit


@pytest.mark.parametrize("more", ["sends", "gateways", "reads", "content", "peak_factor"])
def test_more_traffic_never_needs_less(shipped: Constants, more: str):
    def needs(load: Workload) -> list[float]:
        found = plan(shipped, load)
        pods = (found.command_api, found.push_node, found.query_api, found.projector, found.redis)
        return [
            *(each.count for each in pods),
            found.redis.total_bytes,
            found.database.total_bytes,
            found.network.out_bytes,
        ]

    before, after = needs(LARGE), needs(replace(LARGE, **{more: getattr(LARGE, more) * 2}))
    assert all(then <= now for then, now in zip(before, after, strict=True))
    assert before != after


def test_the_bound_of_one_app_is_named(round_costs: Constants):
    """No number of masters raises it: an app has one order."""
    load = Workload(apps=10, sends=100_000, busiest_sends=90_000, gateways=0, peak_factor=1)
    found = plan(round_costs, load)
    assert found.busiest_app.most_sends == pytest.approx(0.7e6 / 15.4)
    said = advice.warnings(found, load)
    assert "at a peak the busiest app sends 90,000 a second" in said[0]
    assert "takes 45,455 of one app" in said[0]
    assert "Divide the app" in said[0]
    # It has a master to itself, which is too busy; the others share another one.
    assert found.redis.count == 2
    assert found.redis.saturation > 1
    assert advice.limits(found)[0].kind in ("redis", "projector")


def test_a_history_that_falls_behind_is_named(round_costs: Constants):
    """A projector stores 14,000 rows of a shard a second."""
    peak = Workload(apps=1, sends=5_000, gateways=0, peak_factor=4)
    assert "falls behind by 6,000 messages" in advice.warnings(plan(round_costs, peak), peak)[0]
    always = replace(peak, sends=15_000, peak_factor=1)
    assert "IMC_BACKLOG_LIMIT" in advice.warnings(plan(round_costs, always), always)[0]
    calm = replace(peak, sends=3_000)
    assert advice.warnings(plan(round_costs, calm), calm) == []


def test_more_engines_than_shards_are_of_no_use(round_costs: Constants):
    load = Workload(apps=100_000, sends=10_000_000, gateways=0, peak_factor=1.5, batch=100)
    found = plan(round_costs, load)
    assert (found.redis.count, found.projector.count) == (SHARDS, SHARDS)
    assert any("256 projectors are not enough" in said for said in advice.warnings(found, load))


def test_push_nodes_that_all_follow_an_app_do_not_carry_any_load(round_costs: Constants):
    load = Workload(apps=200_000, sends=10_000_000, gateways=1_000, peak_factor=1, push_wait=0)
    with pytest.raises(CannotGrow, match="push_wait"):
        plan(round_costs, load)


def test_what_saturates_first_stands_first(round_costs: Constants):
    found = plan(round_costs, replace(LARGE, spare=0))
    limits = advice.limits(found)
    assert [each.saturation for each in limits] == sorted((each.saturation for each in limits), reverse=True)
    assert limits[0].growth == pytest.approx(1 / limits[0].saturation)


def test_a_plan_is_shown_whole(round_costs: Constants):
    found: Plan = plan(round_costs, LARGE)
    shown = text.of_plan(found, LARGE)
    for part in ("command-api", "push-node", "query-api", "projector", "maxmemory", "size of a day"):
        assert part in shown
    assert "One app: at most" in shown
