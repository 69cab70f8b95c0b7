"""The environment of a function, read once into a typed object."""

import functools
import os

from lambdas.remediation.frozen import Frozen


class Settings(Frozen):
    """What the stack tells a function about itself (`stacks/runbook.py` sets the same names).

    `machine_timeout_seconds` is the composed machine's `TimeoutSeconds`.
    """

    prefix: str
    run_table_name: str
    operator_topic_arn: str
    chat_topic_arn: str
    machine_timeout_seconds: int


@functools.cache
def settings() -> Settings:
    """Settings of this function.

    Raises
    ------
    KeyError
        A variable is missing; the error is its name.
    """
    return Settings(
        prefix=os.environ["PREFIX"],
        run_table_name=os.environ["RUN_TABLE_NAME"],
        operator_topic_arn=os.environ["OPERATOR_TOPIC_ARN"],
        chat_topic_arn=os.environ["CHAT_TOPIC_ARN"],
        machine_timeout_seconds=int(os.environ["MACHINE_TIMEOUT_SECONDS"]),
    )
