"""What holds for all code of the product: each rule yields what breaks it.

A rule takes the product's modules by dotted name, as syntax trees.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from stacks.catalog import ROOT

Modules = dict[str, ast.Module]
Rule = Callable[[Modules], Iterator[str]]
# What the functions' code may name at all; the zip holds nothing else.
RUNTIME = ("lambdas", "boto3", "botocore", "aws_lambda_powertools")
AWS_SDK = ("boto3", "botocore")
CLIENTS = "lambdas.remediation.clients"
# Types of botocore's errors, which a module that translates them needs; clients are not made of it.
SDK_ERRORS = "botocore.exceptions"
RESOURCES = "lambdas.remediation.resources."
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
SECRETS = re.compile(r"passw|secret|credential|api_?key|private_?key|access_?key|token", re.I)
# Names of secrets, and the list of them in the platform file.
NO_SECRETS = {"secret_id", "secret_arn", "variables_secret_id", "secrets"}


def parsed(root: Path = ROOT) -> Modules:
    """Every module of `lambdas/` and `stacks/`."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text()
        )
        for folder in ("lambdas", "stacks")
        for path in sorted((root / folder).rglob("*.py"))
    }


def functions_import_only_what_the_zip_holds(modules: Modules) -> Iterator[str]:
    """No CDK, no stacks, no tests."""
    for module, imported, _ in imports(modules, "lambdas"):
        if not within(imported, *RUNTIME) and not is_standard(imported):
            yield f"{module}: imports {imported}"


def stacks_import_no_tests_and_no_engine(modules: Modules) -> Iterator[str]:
    for module, imported, _ in imports(modules, "stacks"):
        if within(imported, "tests", "local", "docs", "benchmarks"):
            yield f"{module}: imports {imported}"


def the_shared_library_knows_no_runbook(modules: Modules) -> Iterator[str]:
    for module, imported, _ in imports(modules, "lambdas.remediation"):
        if within(imported, "lambdas.runbooks", "lambdas.oversight"):
            yield f"{module}: imports {imported}"


def a_runbook_knows_no_other(modules: Modules) -> Iterator[str]:
    for module, imported, _ in imports(modules, "lambdas.runbooks"):
        own = ".".join(module.split(".")[:3])
        if within(imported, "lambdas.runbooks", "lambdas.oversight") and not within(imported, own):
            yield f"{module}: imports {imported}; share it in lambdas/remediation, or start a child"


def clients_come_from_one_module_on_first_use(modules: Modules) -> Iterator[str]:
    for module, imported, at_import in imports(modules, "lambdas"):
        if not within(imported, *AWS_SDK):
            continue
        if module == CLIENTS:
            if at_import:
                yield f"{module}: imports {imported} before a client is wanted"
        elif not (module.startswith(RESOURCES) and imported == SDK_ERRORS):
            yield f"{module}: imports {imported}; clients come from {CLIENTS}"


def declarations_and_decisions_touch_no_aws(modules: Modules) -> Iterator[str]:
    """runbook.py is data and policy.py is pure: neither knows clients, clock or environment."""
    for module, imported, _ in imports(modules, "lambdas.runbooks"):
        if module.endswith((".runbook", ".policy")) and within(
            imported, CLIENTS, "lambdas.remediation.life", "os", "time", "random"
        ):
            yield f"{module}: imports {imported}"


def nothing_is_evaluated(modules: Modules) -> Iterator[str]:
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in FORBIDDEN_CALLS:
                yield f"{module}: line {node.lineno} calls {called(node)}"


def no_contract_has_a_secret(modules: Modules) -> Iterator[str]:
    """Fields of classes in `lambdas/`: what travels, is stored, or is logged."""
    for module, tree in modules.items():
        for node in ast.walk(tree) if within(module, "lambdas") else ():
            for field in node.body if isinstance(node, ast.ClassDef) else ():
                name = field.target.id if is_field(field) else ""
                if SECRETS.search(name) and name not in NO_SECRETS:
                    yield f"{module}: {node.name}.{name}"


RULES: tuple[Rule, ...] = (
    functions_import_only_what_the_zip_holds,
    stacks_import_no_tests_and_no_engine,
    the_shared_library_knows_no_runbook,
    a_runbook_knows_no_other,
    clients_come_from_one_module_on_first_use,
    declarations_and_decisions_touch_no_aws,
    nothing_is_evaluated,
    no_contract_has_a_secret,
)


def imports(modules: Modules, package: str) -> Iterator[tuple[str, str, bool]]:
    """Importing module, what it imports, and whether it does so when it is imported itself."""
    for module, tree in modules.items():
        if within(module, package):
            late = {
                id(node)
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                for node in ast.walk(function)
            }
            for node in ast.walk(tree):
                for imported in imported_by(node):
                    yield module, imported, id(node) not in late


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        source = "." * node.level + (node.module or "")
        # `from lambdas.runbooks import other` names a module too.
        if source in {"lambdas", "lambdas.runbooks", "lambdas.remediation"}:
            return [f"{source}.{alias.name}" for alias in node.names]
        return [source]
    return []


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
