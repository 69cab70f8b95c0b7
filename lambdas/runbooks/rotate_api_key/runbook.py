"""Declaration of `rotate_api_key`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import SecretsManagerSecret


class RotateApiKeyLimits(Limits):
    """Limits of this runbook."""

    # Secrets Manager User Guide, Quotas: a value at most every 10 minutes in the long run.
    cool_down_seconds: int = limit(900, 0, 86_400, "pause on a secret after a rotation")
    grace_seconds: int = limit(
        3_600,
        1,
        604_800,
        "how long a replaced key stays valid; longer than any consumer caches it",
    )
    error_rate_percent: int = limit(
        10, 1, 100, "failed invocations of a consumer that show the new key to be bad"
    )
    minimum_invocations: int = limit(5, 1, 10_000, "invocations below which a rate says nothing")
    hold_checks: int = limit(0, 0, 48, "looks after the window; by then consumers use the new key")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded of the undo; a new key stays"
    )


RUNBOOK = Runbook(
    name="rotate_api_key",
    title="API key rotation",
    category="Security",
    severity=Severity.P2,
    target=SecretsManagerSecret(),
    limits=RotateApiKeyLimits(),
    # Also when the clock starts it and nobody is there to approve: the old key stays valid.
    mode=Mode.ACT,
    schedulable=True,
    source="Operations Runbook, Security, Rotate API Keys",
    deviations=(
        "The key comes from its issuer (Secrets Manager's random characters where the platform "
        "checks the key itself, else IAM): `openssl rand` makes text that no third party knows.",
        "Secrets Manager rotates by its four steps with a function of this stack: the new key is "
        "tried as AWSPENDING before it becomes AWSCURRENT: a key that works is not overwritten.",
        "No value passes through the machine, a command line or a shell history, and other fields "
        "of a JSON secret are kept.",
        "Consumers read the secret at run time: the key is not copied into environment variables, "
        "which would also wipe the others.",
        "Rotation is turned on for a secret by the platform team, once, with the command that the "
        "refusal shows. A run that did it itself would also change what Secrets Manager does by "
        "itself later, which no undo of a rotation takes back.",
        "The replaced key stays valid: that is what undo goes back to. A credential of IAM is "
        "deleted when the next rotation needs its place (two for each user and service), never "
        "within `grace_seconds`; to end it earlier, make it inactive by hand.",
        "Consumers are invoked with the `smoke_event` of the platform file, and their error rate "
        "is watched: a test payload that exercises nothing proves nothing.",
    ),
)
