"""The one zip: what is in it, and that every function starts from it alone."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from stacks import bundling
from stacks.bundling import BundlingError, check_pins, copy_into
from tests.infrastructure.synthesis import ROOT, synthesise

# What the Lambda runtime brings: boto3 and what it imports.
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "dateutil", "jmespath", "urllib3", "six")
HANDLERS = [
    f"lambdas.runbooks.{path.parent.name}.handler.{role}"
    for path in sorted((ROOT / "lambdas/runbooks").glob("*/handler.py"))
    for role in ("observe", "change")
] + [
    "lambdas.oversight.approve.handler",
    "lambdas.oversight.sweep.handler",
    "lambdas.rotation.handler.handler",
]


@pytest.fixture(scope="module")
def asset(product):
    """Folder that becomes the zip, as synthesised."""
    assets = json.loads((product.outdir / "RemediationStack.assets.json").read_text())
    (zipped,) = [
        file["source"] for file in assets["files"].values() if file["source"]["packaging"] == "zip"
    ]
    return product.outdir / zipped["path"]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """Folder with the runtime's own packages and nothing else."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME_PACKAGES:
        origin = Path(importlib.util.find_spec(name).origin)
        found = origin.parent if origin.name == "__init__.py" else origin
        (folder / found.name).symlink_to(found)
    return folder


def test_the_zip_holds_code_packages_and_platform_file(asset):
    assert sorted(path.name for path in asset.iterdir()) == [
        "aws_lambda_powertools",
        "jmespath",
        "lambdas",
        "platform.json",
        "typing_extensions.py",
    ]


def test_the_zip_holds_every_module_of_the_functions(asset):
    committed = {
        path.relative_to(ROOT)
        for path in (ROOT / "lambdas").rglob("*.py")
        if "__pycache__" not in path.parts
    }

    assert committed <= {path.relative_to(asset) for path in asset.rglob("*.py")}


def test_the_zip_holds_nothing_compiled_and_no_tests(asset):
    unwanted = [
        path
        for path in asset.rglob("*")
        if path.suffix in {".pyc", ".so"} or path.name in {"__pycache__", "tests"}
    ]

    assert unwanted == []


def test_the_zip_holds_the_checked_platform_file(asset, product):
    packaged = json.loads((asset / "platform.json").read_text())

    committed = json.loads((ROOT / "platform.json").read_text())
    del committed["$schema"]
    assert packaged == committed
    assert (asset / "platform.json").read_text() == product.config.text


def test_the_handlers_in_the_template_are_these(product):
    functions = product.of_type("AWS::Lambda::Function").values()

    assert sorted(f["Handler"] for f in functions) == sorted(HANDLERS)


def start(asset, runtime, program):
    """Run a program isolated: standard library, the zip, the runtime's packages, nothing else."""
    return subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-B",
            "-c",
            f"import sys; sys.path += [{str(asset)!r}, {str(runtime)!r}]; {program}",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_function_starts_from_the_zip_alone(asset, runtime, handler):
    module, _, function = handler.rpartition(".")

    result = start(asset, runtime, f"from {module} import {function}; assert callable({function})")

    assert result.returncode == 0, result.stderr


def test_a_function_finds_platform_file_and_logger_in_the_zip(asset, runtime):
    result = start(
        asset,
        runtime,
        "from lambdas.remediation import observability, platform; observability.logger(); "
        "print(platform.load().name)",
    )

    assert (result.returncode, result.stdout.strip()) == (0, "energy-insights"), result.stderr


def test_what_is_not_in_the_zip_cannot_be_imported(asset, runtime):
    for module in ("aws_cdk", "stacks", "pytest"):
        assert start(asset, runtime, f"import {module}").returncode == 1


def test_the_installed_packages_are_the_pinned_ones():
    check_pins()


def test_a_package_at_another_version_stops_the_synth(tmp_path):
    (tmp_path / "requirements.txt").write_text("# pins\naws-lambda-powertools==1.0.0\n")
    installed = importlib.metadata.version("aws-lambda-powertools")

    with pytest.raises(BundlingError) as error:
        check_pins(tmp_path / "requirements.txt")

    assert str(error.value) == (
        f"aws-lambda-powertools {installed} is installed, requirements.txt pins 1.0.0: "
        "run `make setup`"
    )


def test_the_bundling_checks_the_pins(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("aws-lambda-powertools==1.0.0\n")
    monkeypatch.setattr(check_pins, "__defaults__", (tmp_path / "requirements.txt",))

    with pytest.raises(RuntimeError, match=r"requirements\.txt pins 1\.0\.0"):
        synthesise(tmp_path / "cdk.out")


@pytest.mark.parametrize(
    "bundle",
    [
        pytest.param(lambda _folder: check_pins(), id="check"),
        pytest.param(lambda folder: copy_into(folder / "zip", "{}"), id="copy"),
    ],
)
def test_a_missing_package_stops_the_synth(bundle, monkeypatch, tmp_path):
    monkeypatch.setitem(bundling.PACKAGES, "not_there", "not-there")

    with pytest.raises(BundlingError) as error:
        bundle(tmp_path)

    assert str(error.value) == "not-there is not installed: run `make setup`"
