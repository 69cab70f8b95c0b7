"""Rules for all code of the product, each with code that breaks it."""

import ast

import pytest

from stacks.catalog import discover
from tests.estate import code_rules
from tests.estate.code_rules import RULES, parsed

REMEDIATION = "lambdas.remediation.guard"
RUNBOOK = "lambdas.runbooks.lambda_errors.steps"
BROKEN = [
    (
        code_rules.functions_import_only_what_the_zip_holds,
        {REMEDIATION: "import aws_cdk as cdk"},
        "lambdas.remediation.guard: imports aws_cdk",
    ),
    (
        code_rules.functions_import_only_what_the_zip_holds,
        {RUNBOOK: "def f():\n    from stacks.catalog import ROOT"},
        "lambdas.runbooks.lambda_errors.steps: imports stacks.catalog",
    ),
    (
        code_rules.functions_import_only_what_the_zip_holds,
        {RUNBOOK: "from .policy import decide"},
        "lambdas.runbooks.lambda_errors.steps: imports .policy",
    ),
    (
        code_rules.stacks_import_no_tests_and_no_engine,
        {"stacks.core": "from local.engine import process"},
        "stacks.core: imports local.engine",
    ),
    (
        code_rules.the_shared_library_knows_no_runbook,
        {REMEDIATION: "from lambdas.runbooks import lambda_errors"},
        "lambdas.remediation.guard: imports lambdas.runbooks.lambda_errors",
    ),
    (
        code_rules.a_runbook_knows_no_other,
        {RUNBOOK: "from lambdas.runbooks.dynamodb_throttling import policy"},
        "lambdas.runbooks.lambda_errors.steps: imports lambdas.runbooks.dynamodb_throttling; "
        "share it in lambdas/remediation, or start a child",
    ),
    (
        code_rules.clients_come_from_one_module_on_first_use,
        {RUNBOOK: "def f():\n    import boto3"},
        "lambdas.runbooks.lambda_errors.steps: imports boto3; "
        "clients come from lambdas.remediation.clients",
    ),
    (
        code_rules.clients_come_from_one_module_on_first_use,
        {code_rules.CLIENTS: "from botocore.config import Config"},
        "lambdas.remediation.clients: imports botocore.config before a client is wanted",
    ),
    (
        code_rules.clients_come_from_one_module_on_first_use,
        {"lambdas.remediation.resources.user_pool": "import botocore.session"},
        "lambdas.remediation.resources.user_pool: imports botocore.session; "
        "clients come from lambdas.remediation.clients",
    ),
    (
        code_rules.declarations_and_decisions_touch_no_aws,
        {"lambdas.runbooks.lambda_errors.policy": "import os"},
        "lambdas.runbooks.lambda_errors.policy: imports os",
    ),
    (
        code_rules.nothing_is_evaluated,
        {"stacks.core": "x = 1\neval('x')"},
        "stacks.core: line 2 calls eval",
    ),
    (
        code_rules.no_contract_has_a_secret,
        {REMEDIATION: "class Run:\n    api_key: str"},
        "lambdas.remediation.guard: Run.api_key",
    ),
]
SOUND = {
    REMEDIATION: "import json\nfrom lambdas.remediation.errors import RefusedError",
    RUNBOOK: "from lambdas.runbooks.lambda_errors import policy\nfrom lambdas.remediation import x",
    code_rules.CLIENTS: "def client():\n    import boto3",
    "lambdas.remediation.resources.user_pool": "from botocore.exceptions import ClientError",
    "stacks.core": "import aws_cdk\nfrom lambdas.remediation.records import OPEN",
    "lambdas.remediation.contracts": "class Target:\n    secret_arn: str",
}


def trees(sources):
    return {name: ast.parse(text) for name, text in sources.items()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_holds(rule):
    assert list(rule(parsed())) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_allows_what_is_sound(rule):
    assert list(rule(trees(SOUND))) == []


@pytest.mark.parametrize(
    ("rule", "sources", "problem"),
    [pytest.param(*case, id=f"{case[0].__name__}: {case[2][-40:]}") for case in BROKEN],
)
def test_finds_what_breaks_it(rule, sources, problem):
    assert list(rule(trees(sources))) == [problem]


def test_every_rule_has_code_that_breaks_it():
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_the_rules_see_the_whole_product():
    modules = parsed()

    assert {"stacks.composition", "lambdas.remediation", "lambdas.oversight.sweep"} <= set(modules)
    for entry in discover():
        assert f"lambdas.runbooks.{entry.runbook.name}.steps" in modules
