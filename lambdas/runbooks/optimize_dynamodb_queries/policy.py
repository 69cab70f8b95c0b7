"""Decisions of `optimize_dynamodb_queries`: pure functions, no AWS call, no clock."""

import re

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Json,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
    encode,
)
from lambdas.remediation.errors import (
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.contributor_insights import (
    INSIGHTS,
    OFF,
    UPDATE_CONTRIBUTOR_INSIGHTS,
    Insights,
    switch_insights,
)
from lambdas.remediation.resources.table_indexes import (
    UPDATE_TABLE,
    Index,
    IndexedTable,
    create_index,
    definition,
    index_name_of,
)
from lambdas.remediation.resources.table_requests import Requests
from lambdas.runbooks.optimize_dynamodb_queries.runbook import (
    NewIndex,
    OptimizeDynamoDbQueriesLimits,
    OptimizeDynamoDbQueriesParameters,
)

# Amazon DynamoDB API Reference, CreateGlobalSecondaryIndexAction and KeySchemaElement.
_INDEX_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_MAX_ATTRIBUTE_NAME = 255


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    scales_by_itself
        Whether Application Auto Scaling moves the table's capacity.
    observing
        Whether only a report is wanted: then nothing has to be asked for.
    report
        Measurements for the evidence.
    """

    table: IndexedTable
    insights: Insights
    asked: OptimizeDynamoDbQueriesParameters
    limits: OptimizeDynamoDbQueriesLimits
    scales_by_itself: bool = False
    observing: bool = False
    report: dict[str, Json]


def decide(situation: Situation) -> Plan:
    """Plan what was asked for and is not there yet.

    Raises
    ------
    ResourceBusyError
        The table is being updated.
    InvalidRequestError
        Nothing is asked for, or what cannot be.
    PrerequisiteNotMetError
        It is there already, or the table has no room for it.
    """
    asked = situation.asked
    if asked.insights is None and asked.index is None:
        return _report_only(situation)
    parts = [part for part in (_insights(situation), _index(situation)) if part is not None]
    if not parts:
        raise PrerequisiteNotMetError(
            f"nothing to do: table {situation.table.table_name} is as parameters asks already"
        )
    return Plan(
        decision=Decision.CHANGE,
        reason=" ".join(reason for _, reason in parts),
        calls=[call for call, _ in parts],
        evidence=situation.report,
    )


def _report_only(situation: Situation) -> Plan:
    if not situation.observing:
        raise InvalidRequestError(
            "parameters: nothing to change is asked for; set parameters.insights or "
            "parameters.index, or ask for a report with mode observe"
        )
    return Plan(
        decision=Decision.HAND_OVER,
        reason=(
            f"Table {situation.table.table_name}: {report_text(situation.report)}. Nothing to "
            "change was asked for."
        ),
        evidence=situation.report,
    )


def report_text(report: dict[str, Json]) -> str:
    """A report in one sentence, without its full stop."""
    requests, keys = report["requests"], report["throttled_keys"]
    told = _requests_text(requests) if requests else "no complete period to measure"
    if isinstance(keys, str):
        return f"{told}; throttled keys: {keys}"
    shown = ", ".join(f"{k['key_sha256']} {k['throttled']:g} times" for k in keys)
    return f"{told}; most throttled keys (digests): {shown or 'none'}"


def _requests_text(requests: dict[str, Json]) -> str:
    latency = [f"{name} {ms:g} ms" for name, ms in sorted(requests["milliseconds"].items())]
    return ", ".join(
        [*(latency or ["no queries"]), f"{requests['read_units_per_second']:g} read units/s"]
    )


# --- insights ---


def _insights(situation: Situation) -> tuple[PlannedCall, str] | None:
    asked, name = situation.asked, situation.table.table_name
    if asked.insights is None:
        return None
    if asked.insights.value.upper() != OFF and not asked.show_keys:
        raise InvalidRequestError(
            "parameters.show_keys: Contributor Insights shows the keys of "
            f"{name} as they are, to everybody who may read CloudWatch, and they may be personal "
            "data; set it to true if that is allowed"
        )
    if not situation.insights.settled:
        raise ResourceBusyError(f"Contributor Insights of {name} is being switched, look again")
    before, after = situation.insights.mode, asked.insights.value.upper()
    if before == after:
        return None
    reason = f"Switch Contributor Insights of {name} from {before} to {after}."
    if after != OFF:
        reason += " Keys appear in CloudWatch as they are: parameters.show_keys allows it."
    return switch_insights(situation.table.table_arn, before, after), reason


# --- index ---


def _index(situation: Situation) -> tuple[PlannedCall, str] | None:
    asked, table = situation.asked.index, situation.table
    if asked is None:
        return None
    wanted = definition(_keys(asked, table), tuple(asked.include))
    _check_name(asked)
    _check_included(asked, situation.limits)
    there = table.indexes.get(asked.index_name)
    if there is not None and there.definition == wanted:
        return None
    if there is not None:
        raise InvalidRequestError(
            f"parameters.index.index_name: {table.table_name} has an index {asked.index_name} "
            f"that is another one ({_text(there)}); choose another name"
        )
    if not table.settled:
        raise ResourceBusyError(f"table {table.table_name} is being updated, look again later")
    _check_capacity(situation)
    shown = ", ".join(wanted["keys"])
    cost = "capacity of its own" if table.throughput else "its own requests"
    return create_index(table, asked.index_name, wanted), (
        f"Create index {asked.index_name} ({shown}; {wanted['projection']}) on "
        f"{table.table_name}; it costs storage and {cost}, and the table's template does not "
        "know it."
    )


def _text(index: Index) -> str:
    return f"{', '.join(index.definition['keys'])}; {index.definition['projection']}"


def _check_name(asked: NewIndex) -> None:
    if not _INDEX_NAME.fullmatch(asked.index_name):
        raise InvalidRequestError(
            f"parameters.index.index_name: {asked.index_name!r} is not an index name; use 3 to "
            "255 letters, digits, '_', '.' or '-'"
        )


def _keys(asked: NewIndex, table: IndexedTable) -> dict[str, str]:
    """Key attributes and their types, partition key first."""
    if (asked.sort_key is None) != (asked.sort_key_type is None):
        raise InvalidRequestError(
            "parameters.index.sort_key: needs sort_key_type (S, N or B) beside it, and neither "
            "without the other"
        )
    keys = {asked.partition_key: asked.partition_key_type.value}
    if asked.sort_key is not None and asked.sort_key_type is not None:
        if asked.sort_key == asked.partition_key:
            raise InvalidRequestError(
                f"parameters.index.sort_key: {asked.sort_key!r} is the partition key already; "
                "name another attribute, or leave it out"
            )
        keys[asked.sort_key] = asked.sort_key_type.value
    for name, attribute_type in keys.items():
        _check_attribute(name)
        known = table.attribute_types.get(name, attribute_type)
        if known != attribute_type:
            raise InvalidRequestError(
                f"parameters.index: {name} is a key of type {known} in {table.table_name}, not "
                f"{attribute_type}; type {known}"
            )
    return keys


def _check_attribute(name: str) -> None:
    if not 1 <= len(name.encode()) <= _MAX_ATTRIBUTE_NAME:
        raise InvalidRequestError(
            f"parameters.index: {name[:20]!r} is not the name of an attribute; use 1 to "
            f"{_MAX_ATTRIBUTE_NAME} bytes"
        )


def _check_included(asked: NewIndex, limits: OptimizeDynamoDbQueriesLimits) -> None:
    for name in asked.include:
        _check_attribute(name)
    keys = {asked.partition_key, asked.sort_key}
    twice = [n for n in asked.include if n in keys or asked.include.count(n) > 1]
    if twice:
        raise InvalidRequestError(
            f"parameters.index.include: {twice[0]!r} is in the index already; leave it out"
        )
    if len(asked.include) > limits.max_included_attributes:
        raise InvalidRequestError(
            f"parameters.index.include: {len(asked.include)} attributes are above "
            f"{limits.max_included_attributes}; the ceiling is runbooks.optimize_dynamodb_queries."
            "limits.max_included_attributes in platform.json"
        )


def _check_capacity(situation: Situation) -> None:
    table, ceiling = situation.table, situation.limits.max_index_capacity_units
    if situation.scales_by_itself:
        raise PrerequisiteNotMetError(
            f"table {table.table_name} scales by itself; an index made here would not, and would "
            "throttle the table's writes: make it in the application's template, with its scaling"
        )
    units = table.throughput.get("ProvisionedThroughput", {})
    above = [f"{name} {value}" for name, value in units.items() if value > ceiling]
    if above:
        raise PrerequisiteNotMetError(
            f"table {table.table_name} has {above[0]}, and an index needs as much to keep up; "
            f"that is above {ceiling}: raise runbooks.optimize_dynamodb_queries.limits."
            "max_index_capacity_units in platform.json"
        )


# --- is it there? ---


class _Standing(Frozen):
    """Where the table stands relative to one call: the verdict now, and at the last look."""

    early: Verdict
    late: Verdict
    text: str


def _done(text: str) -> _Standing:
    return _Standing(early=Verdict.PASSED, late=Verdict.PASSED, text=text)


def _on_its_way(text: str) -> _Standing:
    # At the last look it is let go, not taken back: DynamoDB goes on by itself.
    return _Standing(early=Verdict.PENDING, late=Verdict.INCONCLUSIVE, text=text)


def _not_seen(text: str) -> _Standing:
    # A description may be older than the call that it is asked for.
    return _Standing(early=Verdict.PENDING, late=Verdict.FAILED, text=text)


def _wrong(text: str) -> _Standing:
    return _Standing(early=Verdict.FAILED, late=Verdict.FAILED, text=text)


def judge(plan: Plan, insights: Insights, table: IndexedTable, *, final: bool) -> Verification:
    """Whether everything planned is there: of a change and, by its inverted calls, of an undo.

    Parameters
    ----------
    final
        Whether this is the last look.
    """
    found = [
        _insights_standing(call, insights)
        if call.api == UPDATE_CONTRIBUTOR_INSIGHTS
        else _index_standing(call, table)
        for call in plan.calls
    ]
    verdicts = [one.late if final else one.early for one in found]
    # The worst of them is the answer.
    order = (Verdict.FAILED, Verdict.PENDING, Verdict.INCONCLUSIVE, Verdict.PASSED)
    return Verification(
        verdict=next(v for v in order if v in verdicts),
        reason="; ".join(one.text for one in found),
        checks=[
            Check(
                name=one.text,
                observed=float(verdict is Verdict.PASSED),
                threshold=1,
                samples=1,
                passed=verdict is Verdict.PASSED,
            )
            for one, verdict in zip(found, verdicts, strict=True)
        ],
    )


def _insights_standing(call: PlannedCall, insights: Insights) -> _Standing:
    wanted = call.after[INSIGHTS]
    if insights.failure:
        return _wrong(f"Contributor Insights could not be switched on: {insights.failure}")
    if insights.mode != wanted:
        return _not_seen(f"Contributor Insights is {insights.mode}, not {wanted}")
    if not insights.settled:
        return _on_its_way(f"Contributor Insights is being switched to {wanted}")
    return _done(f"Contributor Insights is {wanted}")


def _index_standing(call: PlannedCall, table: IndexedTable) -> _Standing:
    name = index_name_of(call)
    (wanted,) = call.after.values()
    there = table.indexes.get(name)
    if wanted is None:
        if there is None:
            return _done(f"index {name} is deleted")
        return _on_its_way(f"index {name} is still {there.status}")
    if there is None:
        return _not_seen(f"index {name} is not there")
    if there.definition != wanted:
        return _wrong(f"index {name} is another one: {_text(there)}")
    if not there.ready:
        return _on_its_way(f"index {name} is {there.status}, not all items are in it yet")
    return _done(f"index {name} is {there.status}, with all items")


def with_report(
    verification: Verification, before: dict[str, Json] | None, after: Requests | None
) -> Verification:
    """The answer with what was measured before and since; that is reported, not judged."""
    if verification.verdict is not Verdict.PASSED or not before or after is None:
        return verification
    return Verification(
        verdict=verification.verdict,
        reason=(
            f"{verification.reason}. Before: {_requests_text(before)}; since: "
            f"{_requests_text(encode(after))}"
        ),
        checks=verification.checks,
    )


def index_to_delete(plan: Plan) -> str | None:
    """Name of the index that an undo deletes, if it deletes one."""
    names = [
        index_name_of(call)
        for call in plan.calls
        if call.api == UPDATE_TABLE and None in call.after.values()
    ]
    return names[0] if names else None
