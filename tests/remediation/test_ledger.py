from datetime import timedelta

import pytest

from lambdas.remediation import clients
from lambdas.remediation.ledger import Release, ReleaseLedger, Seen, release
from tests.conftest import NOW

ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat-lambda"
HOUR = 3_600


def ago(minutes: float):
    return NOW - timedelta(minutes=minutes)


def known(seen, current):
    return release(seen, current, now=NOW, look_back_seconds=HOUR)


OLD = Seen(value="6", since=ago(900), last_good=ago(65))


def test_empty_ledger_is_no_evidence():
    assert known([], "7") == Release(current="7", known=False)


def test_release_the_ledger_has_not_seen_is_recent():
    found = known([OLD], "7")
    assert (found.recent, found.previous_good, found.since) == (True, "6", None)


def test_release_seen_for_the_first_time_within_the_look_back_is_recent():
    found = known([OLD, Seen(value="7", since=ago(20))], "7")
    assert (found.recent, found.previous_good, found.since) == (True, "6", ago(20))


def test_release_older_than_the_look_back_is_not_recent():
    assert not known([OLD, Seen(value="7", since=ago(61))], "7").recent


def test_first_entry_of_a_ledger_says_nothing_about_when_it_came():
    assert not known([Seen(value="7", since=ago(5))], "7").recent


def test_release_never_seen_without_alarm_is_nothing_to_go_back_to():
    seen = [OLD, Seen(value="7", since=ago(40)), Seen(value="8", since=ago(20))]
    assert known(seen, "8").previous_good == "6"


def test_release_found_bad_is_nothing_to_go_back_to_wherever_it_stands():
    bad = Seen(value="7", since=ago(300), last_good=ago(290), bad=True)
    again = Seen(value="7", since=ago(200), last_good=ago(190))
    assert known([OLD, bad, again], "8").previous_good == "6"


def test_going_back_to_an_earlier_release_is_a_change_too():
    seen = [OLD, Seen(value="7", since=ago(100), last_good=ago(30)), OLD]
    found = known([*seen[:2], Seen(value="6", since=ago(10))], "6")
    assert (found.recent, found.previous_good) == (True, "7")


def test_move_of_ours_is_not_a_release():
    seen = [OLD, Seen(value="7", since=ago(20), bad=True)]
    found = known([*seen, Seen(value="6", since=ago(5), by_run="lambda-errors:1")], "6")
    assert (found.recent, found.by_run, found.previous_good) == (False, "lambda-errors:1", None)


@pytest.fixture
def ledger(environment):
    return ReleaseLedger(clients.client("dynamodb"))


def test_poll_notes_what_is_current_and_that_it_was_good(ledger):
    ledger.note(ARN, "6", healthy=True, now=ago(10))
    ledger.note(ARN, "6", healthy=True, now=ago(5))
    ledger.note(ARN, "7", healthy=False, now=NOW)
    assert ledger.read(ARN) == (
        Seen(value="6", since=ago(10), last_good=ago(5)),
        Seen(value="7", since=NOW),
    )


def test_unknown_target_was_never_seen(ledger):
    assert ledger.read(ARN) == ()


def test_own_move_marks_what_it_left_as_bad(ledger):
    ledger.note(ARN, "6", healthy=True, now=ago(10))
    ledger.note(ARN, "7", healthy=False, now=ago(5))
    for _ in range(2):
        ledger.note_own_move(ARN, bad="7", current="6", run_id="run-1", now=NOW)
    assert ledger.read(ARN) == (
        Seen(value="6", since=ago(10), last_good=ago(10)),
        Seen(value="7", since=ago(5), bad=True),
        Seen(value="6", since=NOW, last_good=NOW, by_run="run-1"),
    )


def test_own_move_is_noted_where_no_poll_had_seen_the_release(ledger):
    ledger.note(ARN, "6", healthy=True, now=ago(10))
    ledger.note_own_move(ARN, bad="7", current="6", run_id="run-1", now=NOW)
    found = known(ledger.read(ARN), "6")
    assert (found.recent, found.by_run) == (False, "run-1")


def test_ledger_keeps_the_last_twenty(ledger):
    for number in range(25):
        ledger.note(ARN, str(number), healthy=True, now=NOW)
    assert [s.value for s in ledger.read(ARN)] == [str(n) for n in range(5, 25)]
