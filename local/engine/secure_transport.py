"""Plain HTTP on loopback stands for TLS in policies.

AWS's endpoints are reached by TLS: a policy that denies ``aws:SecureTransport: false`` denies
nobody there. The engine speaks HTTP and would deny every call to a topic, queue or bucket that
enforces TLS. The policy itself is checked on the template.
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_evaluator

PATCHES: tuple[str, ...] = ("ministack.core.iam_evaluator._resolve_condition_key",)


def install() -> None:
    """Answer the one condition key before MiniStack does."""
    resolve = iam_evaluator._resolve_condition_key

    def resolve_key(key: str, context: Any) -> Any:
        return "true" if key.lower() == "aws:securetransport" else resolve(key, context)

    iam_evaluator._resolve_condition_key = resolve_key
