"""The real CDK CLI, as a platform team types it: deploy, deploy again, destroy, deploy."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.engine.process import ACCOUNT_ID, REGION, REPOSITORY, Engine
from local.toolkit.cdk_cli import CDK

pytestmark = pytest.mark.engine

Cdk = Callable[..., str]


@pytest.fixture
def cdk(tmp_path: Path) -> Iterator[Cdk]:
    with Engine() as engine:
        environment = {
            **engine.subprocess_environment,
            # The app in cdk.json is `python3 app.py`: the interpreter of this environment.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "CDK_VALIDATION": "false",
        }

        def run(*arguments: str, folder: Path = REPOSITORY) -> str:
            done = subprocess.run(
                [str(CDK), *arguments, "--no-notices", "--ci"],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout + done.stderr

        run("bootstrap", f"aws://{ACCOUNT_ID}/{REGION}", folder=tmp_path)
        yield run


def test_plain_deploy_redeploy_destroy_and_deploy_again(cdk: Cdk, tmp_path: Path) -> None:
    # No --all and no stack name: there is one top-level stack.
    cdk("deploy", "--require-approval", "never", "--output", str(tmp_path / "out"))
    assembly = str(tmp_path / "out")
    again = cdk("deploy", "--require-approval", "never", "--app", assembly)
    assert "(no changes)" in again
    cdk("destroy", "--force", "--app", assembly)
    # The run table and its name stay behind, and are not in the way.
    assert "RemediationStack" in cdk("deploy", "--require-approval", "never", "--app", assembly)
