"""CPU of importing a function's handler, as a ratio to a Python that imports nothing.

What a cold start pays before our first line of work, on any machine. Isolated: only the unpacked
zip and the packages that the Lambda runtime brings are on the path. The interpreter's shutdown is
left out: a function has none, and after a client it takes as long as a fifth of the import.
"""

import importlib.util
import sys
from pathlib import Path

from benchmarks.measurement import Program, interleaved
from benchmarks.synthesis import Product

RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six", "jmespath")
BARE = "bare Python"
# What most functions do in their first lines; it says what a ratio means on this machine.
TYPICAL = "a typical handler: boto3.client() and Powertools Logger"
TYPICAL_LINES = (
    "import boto3",
    "from aws_lambda_powertools import Logger",
    "Logger(service='typical')",
    "boto3.client('dynamodb')",
)
CLIENT_LINE = "from lambdas.remediation.clients import client; client('dynamodb')"
SHUTDOWN_LEFT_OUT = "import os; os._exit(0)"
LOGGER_LINE = "from lambdas.remediation.observability import logger; logger()"
ROUNDS = 15


def ratios(product: Product, folder: Path) -> dict[str, float]:
    """Ratio to bare Python of each handler alone, with a client, and with client and logger."""
    runtime = _runtime_packages(folder / "runtime")
    lines: dict[str, tuple[str, ...]] = {BARE: (), TYPICAL: TYPICAL_LINES}
    for module in product.handler_modules:
        handler = f"import {module}"
        lines[f"{module}"] = (handler,)
        lines[f"{module} + client"] = (handler, CLIENT_LINE)
        lines[f"{module} + client + logger"] = (handler, CLIENT_LINE, LOGGER_LINE)
    costs = interleaved(
        {name: _program(product.zip_folder, runtime, each) for name, each in lines.items()},
        rounds=ROUNDS,
    )
    return {name: cost / costs[BARE] for name, cost in costs.items() if name != BARE}


def _runtime_packages(folder: Path) -> Path:
    folder.mkdir()
    for name in RUNTIME_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"{name} is not installed: run `make setup`")
        origin = Path(spec.origin)
        found = origin.parent if origin.name == "__init__.py" else origin
        (folder / found.name).symlink_to(found)
    return folder


def _program(zip_folder: Path, runtime: Path, lines: tuple[str, ...]) -> Program:
    path = f"import sys; sys.path += [{str(zip_folder)!r}, {str(runtime)!r}]"
    return Program(
        command=[sys.executable, "-I", "-S", "-c", "\n".join([path, *lines, SHUTDOWN_LEFT_OUT])],
        # As in a function: Region and credentials come from variables, nothing is looked up.
        environment={
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "000000000000",
            "AWS_SECRET_ACCESS_KEY": "test",
        },
        folder=zip_folder,
    )
