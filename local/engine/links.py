"""The links that make the engine behave like AWS, and the check that they still fit it."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from local.engine import (
    access_analyzer,
    alarm_evaluation,
    alarm_events,
    api_deployments,
    api_metrics,
    api_proxy_answers,
    auto_scaling,
    backup_resources,
    composite_alarms,
    contributor_insights,
    dashboard_resources,
    embedded_metrics,
    error_logs,
    executions,
    function_code,
    idle_environments,
    integration_roles,
    lambda_actions,
    lambda_aliases,
    lambda_errors,
    lambda_metrics,
    last_accessed,
    log_group_resources,
    log_patterns,
    message_attributes,
    metric_data,
    rule_targets,
    secret_rotation,
    secure_transport,
    table_capacity,
    table_exports,
    user_pool_ids,
)

PACKAGE = "ministack"
# The links wrap private functions, so any other version is refused until the contract tests of
# tests/local pass on it.
PINNED_VERSION = "1.5.33"

# In installation order: a link wraps what the links before it have put in place.
LINKS: tuple[ModuleType, ...] = (
    alarm_events,
    alarm_evaluation,
    metric_data,
    composite_alarms,
    lambda_metrics,
    lambda_aliases,
    lambda_errors,
    error_logs,
    log_patterns,
    lambda_actions,
    embedded_metrics,
    api_deployments,
    api_proxy_answers,
    api_metrics,
    executions,
    rule_targets,
    integration_roles,
    secure_transport,
    message_attributes,
    table_capacity,
    auto_scaling,
    backup_resources,
    user_pool_ids,
    dashboard_resources,
    log_group_resources,
    access_analyzer,
    last_accessed,
    table_exports,
    contributor_insights,
    secret_rotation,
    function_code,
    idle_environments,
)


class IncompatibleEngineError(RuntimeError):
    """The installed MiniStack is not the one the links were written for."""


def verify(links: tuple[ModuleType, ...] = LINKS, *, pinned: str = PINNED_VERSION) -> None:
    """Refuse a MiniStack of another version, or one that lacks a name a link needs.

    Raises
    ------
    IncompatibleEngineError
        Names the version found, or every missing ``module.name``, and the pin.
    """
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        found = "not installed"
    if found != pinned:
        raise IncompatibleEngineError(
            f"{PACKAGE} {pinned} is needed, found: {found}; "
            f"install it with: pip install {PACKAGE}=={pinned}"
        )
    missing = [name for link in links for name in link.PATCHES if not _exists(name)]
    if missing:
        raise IncompatibleEngineError(
            f"{', '.join(missing)}: not in {PACKAGE} {found}; the links are written for "
            f"{PACKAGE} {pinned}: reinstall it, or adapt the link that names it"
        )


def install(links: tuple[ModuleType, ...] = LINKS) -> None:
    """Put every link in place."""
    for link in links:
        link.install()


def _exists(name: str) -> bool:
    """Whether ``module.name`` or ``module.Class.name`` can be imported."""
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[split:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False
