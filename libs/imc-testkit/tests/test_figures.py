from imc_testkit.checker import Report
from imc_testkit.faults.injection import InjectedFault
from imc_testkit.figures import figures_of
from imc_testkit.history import Answer, Attempt, Connection, Frame, History, Recall, Send
from imc_testkit.soak import Outcome, table


def history() -> History:
    """Sends acknowledged at 1, 2 and 7, and pushed at 1.5, 2.5 and 9; one refused, one unknown."""
    history = History(seed=5)
    for number, (ended, pushed) in enumerate([(1, 1.5), (2, 2.5), (7, 9)]):
        attempt = Attempt("create", 0, Answer.ACKNOWLEDGED, ended, str(number), f"a.{number}-0")
        history.sends.append(Send("a", "g", str(number), None, [attempt]))
        frame = Frame(2001, pushed, f"a.{number}-0", message_id=str(number))
        # The second connection began after the acknowledgement, so its pushes don't count.
        for began in (0, 8):
            connection = Connection("a", "g", 0, None, began, [Frame(2000, began, "a.0-0"), frame])
            history.connections.append(connection)
    history.sends.append(Send("a", "g", "x", None, [Attempt("create", 0, Answer.REFUSED, 1)]))
    history.sends.append(Send("a", "g", "y", None, [Attempt("create", 0)]))
    history.recalls.append(Recall("a", "0", 1, Answer.ACKNOWLEDGED, 2))
    return history


def test_figures_of_a_run() -> None:
    figures = figures_of(history())
    assert (figures.sends, figures.acknowledged, figures.refused, figures.unknown) == (5, 3, 1, 1)
    assert (figures.recalled, figures.connections, figures.pushes) == (1, 6, 12)
    assert (figures.longest_without_send, figures.longest_to_push) == (5, 2)
    empty = figures_of(History(seed=1))
    assert (empty.longest_without_send, empty.longest_to_push) == (0, 0)


def test_the_table_of_a_soak_shows_the_worst_of_each_fault() -> None:
    faults = [
        InjectedFault("redis killed", 6, 8, 8.5),
        InjectedFault("redis killed", 20, 21, 24),
        InjectedFault("mariadb hung", 0, 1, 3),
    ]
    report = Report(lost=1, violations=["lost: one"])
    lines = table(Outcome(history(), faults, report), figures_of(history())).splitlines()
    assert lines[0] == "seed 5"
    assert "lost 1, repeated 0" in lines[2]
    assert lines[3].strip() == "lost: one"
    assert [line.split() for line in lines[-2:]] == [
        ["mariadb", "hung", "1", "2.0", "0.5"],
        ["redis", "killed", "2", "3.0", "1.0"],
    ]
