"""Bring the local AWS up: engine, sample platform, product."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from local.engine.process import ACCOUNT_ID, REGION, Engine, EngineError
from local.sample_platform import names
from local.sample_platform.contents import fill, turn_rotation_on
from local.sample_platform.releases import publish_good_release
from local.toolkit.cdk_cli import CdkCli, CdkError
from local.toolkit.console import Console
from local.toolkit.loopback import NotLoopbackError, bound_environment, refuse_foreign_endpoints
from local.toolkit.platform_file import PROCEDURES, PROFILE, write_platform_file
from local.toolkit.workspace import (
    PLATFORM_FILE,
    REPOSITORY,
    WORKSPACE,
    WorkspaceInUseError,
    claimed_workspace,
)

PRODUCT_STACK = "RemediationStack"
PLATFORM_APP = REPOSITORY / "local" / "sample_platform"
PLATFORM_ASSEMBLY = WORKSPACE / "cdk.out.platform"
PRODUCT_ASSEMBLY = WORKSPACE / "cdk.out.product"


#: The product's one function with a name that people type (docs/runbooks/rotate_api_key.md).
ROTATION_FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:remediation-rotation"


class DeploymentError(RuntimeError):
    """Something was deployed, but not what the rest of the run relies on."""


#: What keeps a local run from coming up; each message says what to do.
SETUP_ERRORS = (NotLoopbackError, WorkspaceInUseError, EngineError, CdkError, DeploymentError)


@dataclass(frozen=True, kw_only=True)
class LocalStack:
    """A running engine with the sample platform and the product in it.

    Attributes
    ----------
    outputs
        Outputs of the product's stack.
    machines
        Name of each state machine to its ARN.
    chat_url
        Where the engine serves ``POST /chat`` of the sample platform.
    """

    engine: Engine
    outputs: dict[str, str]
    machines: dict[str, str]
    chat_url: str

    def client(self, service: str) -> Any:
        """Return a boto3 client bound to the engine."""
        return self.engine.client(service)


@contextmanager
def local_stack(console: Console, *, port: int = 0) -> Iterator[LocalStack]:
    """Deploy everything into a fresh engine, and take it all away at the end.

    Parameters
    ----------
    console
        Shows each step with its seconds.
    port
        Port of the engine; 0 takes a free one.

    Raises
    ------
    Exception
        One of ``SETUP_ERRORS``.
    """
    refuse_foreign_endpoints(os.environ)
    with claimed_workspace():
        _show_profile(console)
        write_platform_file(names.API, names.API_ID)
        engine = Engine(port)
        cdk = CdkCli(bound_environment(os.environ, engine.environment))
        try:
            yield _deployed(console, engine, cdk)
        finally:
            cdk.stop()
            engine.stop()


def _show_profile(console: Console) -> None:
    console.heading("Profile `demo`: short windows laid over platform.json")
    console.paragraph(PROFILE.read_text())
    console.line(
        f"  ({PROFILE.relative_to(REPOSITORY)}, and {PROCEDURES.relative_to(REPOSITORY)} for what "
        "people start; nothing else differs from a real deploy)"
    )


def _deployed(console: Console, engine: Engine, cdk: CdkCli) -> LocalStack:
    console.heading("Set-up: the real CDK CLI against an embedded engine on loopback")
    started = time.monotonic()
    for assembly in (PLATFORM_ASSEMBLY, PRODUCT_ASSEMBLY):
        shutil.rmtree(assembly, ignore_errors=True)
    with ThreadPoolExecutor(max_workers=3) as pool:
        try:
            _deploy_side_by_side(console, engine, cdk, pool)
        except BaseException:
            cdk.stop()  # or the pool would wait for them
            raise
    console.line(f"  ready after {time.monotonic() - started:.1f} s (steps ran side by side)")
    return LocalStack(
        engine=engine,
        outputs=_stack_outputs(engine, PRODUCT_STACK),
        machines=_machines(engine),
        chat_url=names.chat_url(engine.url),
    )


def _deploy_side_by_side(
    console: Console, engine: Engine, cdk: CdkCli, pool: ThreadPoolExecutor
) -> None:
    """Run what does not depend on each other at the same time.

    The API's id is known before the platform is deployed, so both apps synthesise at once.
    """
    platform = pool.submit(_timed, lambda: cdk.synth(PLATFORM_APP, PLATFORM_ASSEMBLY, context={}))
    product = pool.submit(_timed, lambda: _synth_product(cdk))
    base = pool.submit(_timed, lambda: _start(engine, cdk))
    _shown(console, f"engine on {engine.url}, cdk bootstrap", base)
    _shown(console, "cdk synth, sample platform", platform)
    deployed = pool.submit(_timed, lambda: _deploy_platform(engine, cdk))
    _shown(console, f"cdk deploy {names.STACK}, release 2 of chat-lambda", deployed)
    _shown(console, "cdk synth, product", product)
    with console.step(f"cdk deploy {PRODUCT_STACK}"):
        cdk.deploy(PRODUCT_ASSEMBLY)
    turn_rotation_on(engine.client, ROTATION_FUNCTION_ARN)


def _shown(console: Console, label: str, task: Future[float]) -> None:
    console.begin(label)
    try:
        with console.alive():
            seconds = task.result()
    except BaseException:
        console.end("failed", style="red")
        raise
    console.end(f"{seconds:6.1f} s")


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _start(engine: Engine, cdk: CdkCli) -> None:
    engine.start()
    cdk.bootstrap(ACCOUNT_ID, REGION)


def _synth_product(cdk: CdkCli) -> None:
    path = PLATFORM_FILE.relative_to(REPOSITORY)
    cdk.synth(REPOSITORY, PRODUCT_ASSEMBLY, context={"platform": str(path)})


def _deploy_platform(engine: Engine, cdk: CdkCli) -> None:
    cdk.deploy(PLATFORM_ASSEMBLY)
    outputs = _stack_outputs(engine, names.STACK)
    for key, wanted in (("ApiId", names.API_ID), ("UserPoolId", names.USER_POOL_ID)):
        if outputs[key] != wanted:
            raise DeploymentError(
                f"{key} is {outputs[key]}, the product was built for {wanted}: the engine no "
                f"longer honours the tag {names.API_ID_TAG}"
            )
    fill(engine.client)
    # A rollback needs a version to go back to.
    publish_good_release(engine.client("lambda"), label="2")


def _stack_outputs(engine: Engine, stack: str) -> dict[str, str]:
    described = engine.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])}


def _machines(engine: Engine) -> dict[str, str]:
    pages = engine.client("stepfunctions").get_paginator("list_state_machines").paginate()
    found = {m["name"]: m["stateMachineArn"] for page in pages for m in page["stateMachines"]}
    if not found:
        raise DeploymentError(f"{PRODUCT_STACK} was deployed but has no state machine")
    return dict(sorted(found.items()))
