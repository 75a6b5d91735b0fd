"""`imc bench` sends, listens, and says how long both took."""

import json

import pytest
from imc_cli.measuring import percentile
from imc_testkit.command import Imc
from imc_testkit.tokens import token

pytestmark = pytest.mark.programs


def test_sends_and_pushes_are_measured(imc: Imc, app_id: str) -> None:
    options = ("--app", app_id, "--duration", "2s", "--rate", "20", "--gateways", "2", "--json")
    found = json.loads(imc("bench", *options))
    sends, pushes = found["sends"], found["pushes"]
    assert sends["count"] > 0
    assert pushes["count"] == 2 * sends["count"]
    assert 0 < sends["p50"] <= sends["p90"] <= sends["p99"] <= sends["max"]
    assert (found["refused"], found["missingPushes"]) == ({}, 0)


def test_without_a_pace_each_sender_sends_when_it_is_answered(imc: Imc, app_id: str) -> None:
    options = ("--app", app_id, "--duration", "1s", "--gateways", "0", "--senders", "2")
    head, sends, pushes = imc("bench", *options).splitlines()
    assert head.startswith("WHAT\tCOUNT\tA SECOND\tp50 MS")
    assert int(sends.split("\t")[1]) > 0
    assert pushes == "pushes\t0\t0.0\t\t\t\t"


def test_what_can_not_be_measured_is_told(imc: Imc, alone: Imc) -> None:
    assert "can't be reached" in alone.refused("bench", "--url", "http://127.0.0.1:1")
    assert "403" in imc.with_(IMC_TOKEN=token(scope="read")).refused("bench")
    assert "must be 1 to 600 seconds" in alone.refused("bench", "--duration", "1d", code=2)


@pytest.mark.parametrize(("share", "time"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.99, 4.0), (1.0, 4.0)])
def test_percentiles_are_those_of_the_nearest_rank(share: float, time: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == time
    assert percentile([], share) is None
