"""The zip of a function is unpacked once for all environments of the same code."""

import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

CODE = """
import os, {module}

def handler(event, context):
    return [os.path.realpath(os.getcwd()), os.path.realpath(__file__)]
"""


def test_functions_of_one_code_read_it_in_one_place(bench: Workbench, name: str) -> None:
    for each, module in (("first", "json"), ("second", "json"), ("other", "csv")):
        bench.function(f"{name}-{each}", CODE.format(module=module))
    first, second, other = (
        bench.invoke(f"{name}-{each}")["Payload"] for each in ("first", "second", "other")
    )
    assert first == second
    assert first[0] in first[1]
    assert other[0] != first[0]
