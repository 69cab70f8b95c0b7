"""A Cognito user pool gets the id in its tag ``ms-custom-id``, as APIs do in MiniStack.

Cognito invents the id of a pool. Here the product is synthesised while the sample platform is
still being deployed, so the id in its platform file has to be known before.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ministack.services import cognito

PATCHES: tuple[str, ...] = (
    "ministack.services.cognito._create_user_pool",
    "ministack.services.cognito._pool_id",
)
TAG = "ms-custom-id"

_wanted: ContextVar[str | None] = ContextVar("wanted", default=None)


def install() -> None:
    """Let the tag decide, where there is one."""
    create, invented = cognito._create_user_pool, cognito._pool_id

    def create_user_pool(data: dict[str, Any]) -> Any:
        token = _wanted.set((data.get("UserPoolTags") or {}).get(TAG))
        try:
            return create(data)
        finally:
            _wanted.reset(token)

    def pool_id() -> str:
        return _wanted.get() or str(invented())

    cognito._create_user_pool = create_user_pool
    cognito._pool_id = pool_id
