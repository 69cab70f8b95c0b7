"""What the engine tests of this runbook set in the platform file."""

from tests.e2e.user_pools import listed

LIMITS = {"hold_checks": 0, "cool_down_seconds": 0, "max_changes_per_hour": 10}
PLATFORM = {"user_pools": listed("Disable", 6)}
