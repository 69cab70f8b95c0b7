"""Arithmetic over raw metric series: the same on AWS, on the local engine and in tests."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from lambdas.remediation.contracts import Check, Verdict

# Start of a period to its value. CloudWatch leaves out periods without data.
Series = Mapping[datetime, float]


def period_start(moment: datetime, period_seconds: int) -> datetime:
    """Start of the period that a moment lies in; CloudWatch counts periods from the epoch."""
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % period_seconds, UTC)


def complete_periods(
    now: datetime, *, period_seconds: int, seconds: int, after: datetime | None = None
) -> tuple[datetime, ...]:
    """Starts of the last complete periods, oldest first.

    Parameters
    ----------
    now
        The period that it lies in is not complete.
    period_seconds
        Length of a period.
    seconds
        How far back; rounded up to whole periods.
    after
        Leave out periods that began before this moment: part of them was before the change.
    """
    length = timedelta(seconds=period_seconds)
    end = period_start(now, period_seconds)
    count = periods_in(seconds, period_seconds)
    starts = (end - length * back for back in range(count, 0, -1))
    return tuple(s for s in starts if after is None or s >= after)


def periods_in(seconds: int, period_seconds: int) -> int:
    """Whole periods that cover a time, at least one."""
    return max(1, -(-seconds // period_seconds))


def total(series: Iterable[Series], periods: Iterable[datetime] | None = None) -> float:
    """Sum of all series over the periods (all by default); a missing value counts as zero."""
    wanted = None if periods is None else list(periods)
    return float(
        sum(
            value
            for one in series
            for value in (one.values() if wanted is None else (one.get(p, 0.0) for p in wanted))
        )
    )


def samples(series: Iterable[Series], periods: Sequence[datetime]) -> int:
    """Periods in which at least one series is above zero: those that had traffic."""
    known = list(series)
    return sum(any(one.get(p, 0.0) > 0 for one in known) for p in periods)


def peak(series: Series, periods: Iterable[datetime] | None = None) -> float:
    """Highest value of a series in the periods (all by default); zero without data."""
    values = series.values() if periods is None else (series.get(p, 0.0) for p in periods)
    return max(values, default=0.0)


def verdict(*, whole: bool, busy: bool, quiet: bool, final: bool) -> Verdict:
    """What a window of a rate comes to; silence is never a pass.

    Parameters
    ----------
    whole, busy, quiet
        The window has all its periods, enough traffic, and few enough failures.
    final
        No later look: what would be `pending` is `failed` or `inconclusive`.
    """
    if whole and busy and quiet:
        return Verdict.PASSED
    if not final:
        return Verdict.PENDING
    return Verdict.FAILED if whole and busy else Verdict.INCONCLUSIVE


def rate_checks(
    *,
    rate: tuple[float, int],
    quiet: bool,
    traffic: tuple[str, float, int],
    samples: tuple[int, int],
    periods: int,
) -> list[Check]:
    """Checks of an error rate over a window.

    Parameters
    ----------
    rate, samples
        Observed and threshold: failures in percent, and periods with traffic.
    quiet
        Whether the rate passes, in a window that is whole.
    traffic
        What is counted, observed, and the least that says something.
    periods
        Periods in the window.
    """
    kind, count, minimum = traffic
    return [
        Check(
            name="error_rate_percent",
            observed=round(rate[0], 1),
            threshold=float(rate[1]),
            samples=periods,
            passed=quiet,
        ),
        Check(
            name=kind,
            observed=float(count),
            threshold=float(minimum),
            samples=periods,
            passed=count >= minimum,
        ),
        Check(
            name="periods_with_traffic",
            observed=float(samples[0]),
            threshold=float(samples[1]),
            samples=periods,
            passed=samples[0] >= samples[1],
        ),
    ]
