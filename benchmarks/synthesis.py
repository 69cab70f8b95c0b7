"""`cdk synth` of the product beside that of an empty Python app, with the real CLI."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measurement import Program, interleaved

ROOT = Path(__file__).parents[1]
STACK = "RemediationStack"
EMPTY_APP = """
import aws_cdk as cdk

app = cdk.App()
cdk.Stack(app, "Empty")
app.synth()
"""
EMPTY, PRODUCT, CHECKED = "an empty app", "the product", "the product, every check on"
ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Product:
    """The synthesised product: what the other numbers are read from."""

    assembly: Path

    @property
    def resources(self) -> list[dict[str, Any]]:
        """Resources of the template."""
        template = json.loads((self.assembly / f"{STACK}.template.json").read_text())
        return list(template["Resources"].values())

    @property
    def zip_folder(self) -> Path:
        """Folder that becomes the one zip of all functions."""
        assets = json.loads((self.assembly / f"{STACK}.assets.json").read_text())
        (path,) = {
            str(file["source"]["path"])
            for file in assets["files"].values()
            if file["source"]["packaging"] == "zip"
        }
        return self.assembly / path

    @property
    def handler_modules(self) -> list[str]:
        """Modules of the functions' handlers."""
        handlers = [
            r["Properties"]["Handler"]
            for r in self.resources
            if r["Type"] == "AWS::Lambda::Function"
        ]
        return sorted({handler.rpartition(".")[0] for handler in handlers})


def ratios(folder: Path) -> tuple[Product, dict[str, float]]:
    """Synthesise in turns; gives the product, and CPU ratios to the empty app."""
    empty = folder / "empty"
    empty.mkdir()
    (empty / "app.py").write_text(EMPTY_APP)
    (empty / "cdk.json").write_text(json.dumps({"app": "python3 app.py"}))
    costs = interleaved(
        {
            EMPTY: _synth(empty, folder / "empty.out", checks=False),
            PRODUCT: _synth(ROOT, folder / "product.out", checks=False),
            CHECKED: _synth(ROOT, folder / "checked.out", checks=True),
        },
        rounds=ROUNDS,
    )
    product = Product(assembly=folder / "product.out")
    return product, {name: costs[name] / costs[EMPTY] for name in (PRODUCT, CHECKED)}


def _synth(app: Path, output: Path, *, checks: bool) -> Program:
    cli = ROOT / "node_modules" / ".bin" / "cdk"
    interpreter = str(Path(sys.executable).parent)
    return Program(
        command=[str(cli), "synth", "--quiet", "--no-notices", "--output", str(output)],
        environment={
            # As where somebody works: modules are compiled once, in the round that is not counted.
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            # cdk.json says python3: it has to be the one with the packages.
            "PATH": os.pathsep.join([interpreter, os.environ.get("PATH", os.defpath)]),
            "CDK_VALIDATION": str(checks).lower(),
        },
        folder=app,
    )
