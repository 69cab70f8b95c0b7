"""DynamoDB's quota on decreases of provisioned throughput, as arithmetic on times."""

from __future__ import annotations

from collections.abc import Sequence

FREE_PER_DAY = 4

_DAY_SECONDS = 86_400
_HOUR_SECONDS = 3_600


def decreases_today(decreases: Sequence[float], now: float) -> int:
    """Count the decreases (epoch seconds) of the UTC day of ``now``."""
    midnight = now - now % _DAY_SECONDS
    return sum(moment >= midnight for moment in decreases)


def may_decrease(decreases: Sequence[float], now: float) -> bool:
    """Four decreases per UTC day at any time, then one for each hour without a decrease."""
    if decreases_today(decreases, now) < FREE_PER_DAY:
        return True
    return now - max(decreases) >= _HOUR_SECONDS
