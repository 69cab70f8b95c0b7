"""The one zip of all functions, put together by copying files: no network, no Docker."""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_

from stacks.catalog import ROOT

# Powertools and what it imports; all pure Python, so one copy serves every architecture.
PACKAGES = {
    "aws_lambda_powertools": "aws-lambda-powertools",
    "jmespath": "jmespath",
    "typing_extensions": "typing-extensions",
}
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "tests")


class BundlingError(Exception):
    """A package for the zip is missing or not at its pinned version; the message names it."""


def check_pins(requirements: Path = ROOT / "requirements.txt") -> None:
    """Refuse to ship a package that is not the pinned one.

    Raises
    ------
    BundlingError
        Not installed, or installed at another version than requirements.txt says.
    """
    pins = dict(
        line.split("==")
        for line in requirements.read_text().split()
        if "==" in line and not line.startswith("#")
    )
    for package in PACKAGES.values():
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise BundlingError(f"{package} is not installed: run `make setup`") from None
        if package in pins and pins[package] != installed:
            raise BundlingError(
                f"{package} {installed} is installed, requirements.txt pins {pins[package]}: "
                "run `make setup`"
            )


def copy_into(folder: Path, platform_text: str) -> None:
    """Put the functions' code, its packages and the platform file into a folder."""
    shutil.copytree(ROOT / "lambdas", folder / "lambdas", ignore=IGNORED)
    for module, package in PACKAGES.items():
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise BundlingError(f"{package} is not installed: run `make setup`")
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, folder / module, ignore=IGNORED)
        else:
            shutil.copy(origin, folder / origin.name)
    (folder / "platform.json").write_text(platform_text)


@jsii.implements(cdk.ILocalBundling)
class _CopyFiles:
    def __init__(self, platform_text: str) -> None:
        self.platform_text = platform_text

    def try_bundle(self, output_dir: str, *_args: Any, **_options: Any) -> bool:
        check_pins()
        copy_into(Path(output_dir), self.platform_text)
        return True


def functions_code(platform_text: str) -> lambda_.Code:
    """Code of every function: `lambdas/`, its packages, and the validated platform file."""
    return lambda_.Code.from_asset(
        str(ROOT / "lambdas"),
        asset_hash_type=cdk.AssetHashType.OUTPUT,
        exclude=["**/__pycache__"],
        bundling=cdk.BundlingOptions(
            # Never run: the local bundler always succeeds or raises.
            image=cdk.DockerImage.from_registry("unused"),
            local=_CopyFiles(platform_text),
        ),
    )
