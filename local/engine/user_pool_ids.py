"""A user pool gets the id that its tag ``ms-custom-id`` asks for, as APIs do in MiniStack.

AWS makes the id up, and so does MiniStack; but the platform file names the pools of a platform
before they exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from ministack.services import cognito

PATCHES: tuple[str, ...] = (
    "ministack.services.cognito._create_user_pool",
    "ministack.services.cognito._pool_id",
)
TAG = "ms-custom-id"

_asked: ContextVar[str | None] = ContextVar("asked_pool_id", default=None)


def install() -> None:
    """Take the id from the tag while a pool is made."""
    create, make_up = cognito._create_user_pool, cognito._pool_id

    def create_with_id(data: Mapping[str, Any]) -> Any:
        token = _asked.set((data.get("UserPoolTags") or {}).get(TAG))
        try:
            return create(data)
        finally:
            _asked.reset(token)

    # MiniStack looks both up on the module at each call.
    cognito._create_user_pool = create_with_id
    cognito._pool_id = lambda: _asked.get() or make_up()
