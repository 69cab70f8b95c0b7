from datetime import UTC, datetime, timedelta

from local.toolkit.follow import FollowedExecution
from local.toolkit.history import Visit
from local.toolkit.timeline import drawn, events

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
CALL = {
    "api": "lambda:UpdateAlias",
    "before": {"FunctionVersion": "4"},
    "after": {"FunctionVersion": "3"},
}


def at(seconds):
    return START + timedelta(seconds=seconds)


def visit(name, entered, exited):
    return Visit(name=name, kind="Task", entered=at(entered), exited=at(exited))


def healing():
    return FollowedExecution(
        arn="a",
        machine="lambda-errors",
        number=1,
        started=at(4),
        alarm="chat-errors",
        alarm_at=at(3.5),
        ended=at(22),
        status="SUCCEEDED",
        visits=[
            visit("Begin", 4, 5),
            visit("Prepare", 5, 6),
            visit("MoveAlias", 6, 7),
            visit("Verify", 7, 15),
            visit("WatchHold", 20, 21),
        ],
        answer={
            "run_id": "lambda-errors:1",
            "outcome": "verified",
            "held": True,
            "changes": [CALL],
            "verification": {"verdict": "passed"},
        },
    )


def joining():
    return FollowedExecution(
        arn="b",
        machine="api-gateway-errors",
        number=2,
        started=at(5),
        alarm="api-5xx",
        alarm_at=at(4.5),
        ended=at(23),
        status="SUCCEEDED",
        visits=[visit("Begin", 5, 5.5)],
        answer={
            "run_id": "api-gateway-errors:1",
            "outcome": "verified",
            "held": True,
            "changes": [],
            "joined": "lambda-errors:1",
        },
    )


OWN = {"lambda-errors": {"MoveAlias"}, "api-gateway-errors": {"MoveStage"}}


def test_one_run_is_drawn_as_the_moments_it_reached():
    assert drawn(events([healing()], OWN), since=START, width=90) == [
        "     3.5 s  o  alarm     chat-errors",
        "     5.0 s  o  guard",
        "     6.0 s  o  snapshot",
        "     7.0 s  o  change    lambda:UpdateAlias: FunctionVersion 4 -> 3",
        "            |",
        "    15.0 s  o  verified  passed",
        "            |",
        "    21.0 s  o  held      yes",
        "    22.0 s  o  ended     verified",
    ]


def test_two_runs_are_two_columns_merged_by_time():
    assert drawn(events([healing(), joining()], OWN), since=START, width=90) == [
        "            1: lambda-errors, 2: api-gateway-errors",
        "     3.5 s  o    alarm     chat-errors",
        "     4.5 s  | o  alarm     api-5xx",
        "     5.0 s  o |  guard",
        "     5.5 s  | o  guard",
        "     6.0 s  o |  snapshot",
        "     7.0 s  o |  change    lambda:UpdateAlias: FunctionVersion 4 -> 3",
        "            | |",
        "    15.0 s  o |  verified  passed",
        "            | |",
        "    21.0 s  o |  held      yes",
        "    22.0 s  o |  ended     verified",
        "    23.0 s    o  ended     verified, joined lambda-errors:1",
    ]


def test_what_is_too_long_is_cut():
    lines = drawn(events([healing()], OWN), since=START, width=40)

    assert max(map(len, lines)) == 40
    assert lines[3].endswith("...")


def test_own_state_of_a_run_that_changed_nothing_is_no_change():
    run = healing()
    run.answer = {**run.answer, "changes": []}

    assert "change" not in {e.what for e in events([run], OWN)}
