"""Tests when things are looked at again."""

from imc_push_node.stream.appointments import Appointments


def due(appointments: Appointments[str], now: float) -> list[str]:
    return list(appointments.due(now))


def test_each_is_due_once_at_its_time_the_earliest_first() -> None:
    appointments = Appointments[str]()
    for thing, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        appointments.make(thing, at)
    assert due(appointments, 0.9) == []
    assert due(appointments, 2.0) == ["a", "b"]
    assert due(appointments, 2.0) == []
    assert due(appointments, 9.0) == ["c"]


def test_an_earlier_appointment_counts_and_a_later_one_does_not() -> None:
    appointments = Appointments[str]()
    for at in (5.0, 3.0, 4.0):
        appointments.make("a", at)
    assert due(appointments, 2.9) == []
    assert due(appointments, 3.0) == ["a"]
    assert due(appointments, 9.0) == []
    appointments.make("a", 10.0)
    assert due(appointments, 10.0) == ["a"]


def test_one_that_was_cancelled_is_not_due() -> None:
    appointments = Appointments[str]()
    appointments.make("a", 1.0)
    appointments.make("b", 1.0)
    appointments.cancel("a")
    appointments.cancel("unknown")
    assert due(appointments, 1.0) == ["b"]
    appointments.make("a", 2.0)
    assert due(appointments, 2.0) == ["a"]
