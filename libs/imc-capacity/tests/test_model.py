"""Each formula, worked out by hand with round costs."""

import math

import pytest
from imc_capacity import model
from imc_capacity.constants import Constants
from imc_capacity.model import App


def test_requests_with_many_messages_cost_command_api_less(round_costs: Constants):
    assert model.command_api_load(round_costs, 1_000, 1) == pytest.approx(0.12)
    assert model.command_api_load(round_costs, 1_000, 100) == pytest.approx(0.021)


def test_redis_pays_for_the_script_its_hearers_and_rows(round_costs: Constants):
    assert model.redis_us(round_costs, 1, 0) == 40 + 10 + 5
    assert model.redis_us(round_costs, 10, 3) == pytest.approx(46 / 10 + 13 + 5)
    assert model.redis_load(round_costs, App(1_000, 5), 1, 0) == pytest.approx(0.055)


@pytest.mark.parametrize(
    ("app", "command_apis", "batch"),
    [
        (App(100, 0), 1, 1),  # one arrives in ten ways of a batch
        (App(10_000, 0), 1, 10),  # ten arrive on the way of one
        (App(10_000, 0), 10, 1),  # each of ten command-apis has a tenth of them
        (App(10_000, 0, 50), 1, 50),  # they are sent in larger batches already
        (App(0, 0), 1, 1),
    ],
)
def test_batches_grow_with_what_arrives_meanwhile(
    round_costs: Constants, app: App, command_apis: int, batch: float
):
    assert model.batch_size(round_costs, app, command_apis, 0, 0.7) == pytest.approx(batch)


def test_batches_grow_as_far_as_a_busy_redis_needs(round_costs: Constants):
    app = App(20_000, 0)
    batch = model.batch_size(round_costs, app, 100, 0, 0.7)
    assert model.redis_load(round_costs, app, batch, 0) == pytest.approx(0.7)
    assert model.batch_size(round_costs, App(1_000_000, 0), 100, 0, 0.7) == model.LARGEST_BATCH


def test_one_app_is_bound_by_a_core_of_redis_and_by_a_projector(round_costs: Constants):
    assert model.most_sends_of_an_app(round_costs, 0, 0.7) == pytest.approx(0.7e6 / 15.4)
    assert model.most_sends_of_an_app(round_costs, 10, 0.7) < model.most_sends_of_an_app(round_costs, 0, 0.7)
    assert model.most_rows_of_a_shard(round_costs, 0.7) == pytest.approx(14_000)


def test_an_app_is_followed_by_as_many_push_nodes_as_have_its_gateways():
    assert model.followers_of(1, 100) == pytest.approx(1)
    assert model.followers_of(0, 100) == 0
    assert model.followers_of(10_000, 100) == pytest.approx(100)
    assert model.followers_of(2, 2) == pytest.approx(1.5)


def test_a_push_costs_wake_ups_writes_frames_and_bytes(round_costs: Constants):
    alone = model.push_load(round_costs, App(10, 100), 1, 2, 200, 0)
    assert alone == pytest.approx(10 * (2 * 300 + 2 * 5 + 100 * 10 + 100 * 500 * 0.001) / 1e6)


def test_pushes_that_wait_go_together(round_costs: Constants):
    app = App(10_000, 100)
    waiting = [model.push_load(round_costs, app, 1, 1, 200, wait) for wait in (0, 1, 5, 20)]
    assert waiting == sorted(waiting, reverse=True)
    # At most 50 wake-ups a second; frames and bytes stay.
    fixed = 10_000 * (5 + 100 * 0.5)
    assert waiting[-1] == pytest.approx((50 * (300 + 100 * 10) + fixed) / 1e6)


def test_sizes(round_costs: Constants):
    assert model.log_bytes(round_costs, 10, 200, 4) == 4_000 + 10 * 500 + 4 * 100
    assert model.row_bytes(round_costs, 10, 200, 3) == 10 * 800 + 3 * 200
    assert model.network_in(round_costs, 10, 200, 2) == 10 * 300
    assert model.network_out(round_costs, 100, 200, 1) == 120 * 500


def test_other_loads(round_costs: Constants):
    assert model.projector_load(round_costs, 1_000) == pytest.approx(0.05)
    assert model.database_load(round_costs, 1_000, 100) == pytest.approx(0.06)
    assert model.query_api_load(round_costs, 100) == pytest.approx(0.05)
    assert model.keep_alive_load(round_costs, 5_000) == pytest.approx(0.01)
    assert model.frames_load(round_costs, 1_000) == pytest.approx(0.025)


def test_an_app_without_traffic_costs_no_core(round_costs: Constants):
    assert model.push_load(round_costs, App(0, 100), 1, 2, 200, 5) == 0
    assert model.redis_load(round_costs, App(0, 100), 1, 2) == 0
    assert math.isfinite(model.batch_size(round_costs, App(0, 100), 1, 2, 0.7))
