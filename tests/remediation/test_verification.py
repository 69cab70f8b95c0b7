"""Arithmetic over raw series."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation.verification import (
    complete_periods,
    peak,
    period_start,
    periods_in,
    samples,
    total,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(minutes: int, seconds: int = 0) -> datetime:
    return NOON + timedelta(minutes=minutes, seconds=seconds)


def test_period_starts_on_a_multiple_of_its_length():
    assert period_start(at(3, 59), 60) == at(3)
    assert period_start(at(3), 60) == at(3)
    assert period_start(at(8, 1), 300) == at(5)


def test_the_running_period_is_not_complete():
    found = complete_periods(at(5, 59), period_seconds=60, seconds=180)

    assert found == (at(2), at(3), at(4))


def test_a_period_that_has_just_ended_is_complete():
    assert complete_periods(at(5), period_seconds=60, seconds=60) == (at(4),)


def test_a_part_of_a_period_needs_a_whole_one():
    assert periods_in(61, 60) == 2
    assert periods_in(60, 60) == 1
    assert periods_in(1, 60) == 1
    assert complete_periods(at(5), period_seconds=60, seconds=61) == (at(3), at(4))


def test_periods_that_began_before_the_change_are_left_out():
    found = complete_periods(at(5), period_seconds=60, seconds=300, after=at(2, 1))

    assert found == (at(3), at(4))


def test_a_period_that_began_with_the_change_counts():
    found = complete_periods(at(5), period_seconds=60, seconds=300, after=at(3))

    assert found == (at(3), at(4))


def test_no_period_is_complete_right_after_the_change():
    assert complete_periods(at(5, 30), period_seconds=60, seconds=300, after=at(5)) == ()


@given(
    second=st.integers(0, 10_000),
    period=st.sampled_from([1, 5, 10, 30, 60, 300]),
    seconds=st.integers(1, 3_600),
    ago=st.integers(0, 4_000),
)
def test_every_period_lies_between_the_change_and_now(second, period, seconds, ago):
    now = NOON + timedelta(seconds=second)
    change = now - timedelta(seconds=ago)

    found = complete_periods(now, period_seconds=period, seconds=seconds, after=change)

    assert all(change <= s and s + timedelta(seconds=period) <= now for s in found)
    assert len(found) <= -(-seconds // period)


def test_missing_values_count_as_zero():
    assert total([{at(0): 2.0}, {at(1): 3.0}], [at(0), at(1), at(2)]) == 5.0
    assert total([{}], [at(0)]) == 0.0


def test_total_leaves_out_other_periods():
    assert total([{at(0): 2.0, at(1): 40.0}], [at(0)]) == 2.0


def test_total_of_everything():
    assert total([{at(0): 2.0, at(1): 40.0}, {at(9): 1.0}]) == 43.0


def test_a_period_with_traffic_in_any_series_is_one_sample():
    series = [{at(0): 1.0, at(1): 1.0}, {at(1): 7.0, at(2): 0.0}]

    assert samples(series, [at(0), at(1), at(2), at(3)]) == 2


def test_samples_reads_a_generator_for_every_period():
    assert samples((s for s in [{at(0): 1.0, at(1): 1.0}]), [at(0), at(1)]) == 2


def test_peak_is_the_highest_value():
    assert peak({at(0): 3.0, at(1): 9.0}) == 9.0
    assert peak({at(0): 3.0, at(1): 9.0}, [at(0), at(5)]) == 3.0
    assert peak({}) == 0.0
