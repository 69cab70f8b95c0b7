"""A function's code is unpacked once, and every environment of the same code reads it there.

AWS mounts the code read-only; MiniStack unpacks it for every process, and Python compiles it there
for that process alone. The product's forty functions are one zip: starting one cost more in
unpacking and compiling than in everything else.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

PATCHES: tuple[str, ...] = (
    "ministack.core.lambda_runtime.Worker._spawn",
    "ministack.core.lambda_runtime.zipfile",
    "ministack.services.lambda_svc._provided_runtime_code_dir",
)


def install() -> None:
    """Give the processes of functions archives that unpack to a link."""
    lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": _Archive})
    # Functions only: this process has read the variable already. They compile once for all, too.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


class _Archive(zipfile.ZipFile):
    """An archive whose `code` folder is the one that MiniStack keeps for each content."""

    def extractall(
        self, path: Any = None, members: Iterable[Any] | None = None, pwd: bytes | None = None
    ) -> None:
        folder = Path(path)
        if folder.name != "code":  # a layer
            super().extractall(path, members, pwd)
            return
        code = Path(str(self.filename)).read_bytes()
        folder.rmdir()
        folder.symlink_to(lambda_svc._provided_runtime_code_dir(code))
