"""The platform file: what is accepted, and the one message for each thing that is not."""

import dataclasses
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from lambdas.remediation import platform as platform_file
from lambdas.remediation.alarms import TableThrottleAlarm
from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.platform import Platform
from lambdas.remediation.runbook import (
    Limits,
    Runbook,
    limit,
)
from lambdas.remediation.targets import DynamoDbTable
from lambdas.runbooks.dynamodb_throttling.runbook import RUNBOOK
from stacks import config
from stacks.config import PlatformConfig, PlatformFileError, effective_schema

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "platform.json"
SCHEMA = json.loads((ROOT / "platform.schema.json").read_text())


class ThrottlingLimits(Limits):
    max_capacity_units: int = limit(4_000, 1, 40_000, "ceiling of a table's capacity")


class PatientLimits(Limits):
    metric_period_seconds: int = limit(60, 1, 86_400, "period of alarms")


THROTTLING = Runbook(
    name="dynamodb_throttling",
    title="DynamoDB throttling",
    category="Incident response",
    severity=Severity.P0,
    target=DynamoDbTable(),
    triggers=(TableThrottleAlarm(),),
    limits=ThrottlingLimits(),
    options={"switch_to_on_demand": False},
    source="Operations Runbook, DynamoDB Throttling",
)
PATIENT = dataclasses.replace(THROTTLING, name="patient", limits=PatientLimits(), options={})
PASSWORD = dataclasses.replace(THROTTLING, name="reset_password", reversible=False, triggers=())
RUNBOOKS = (THROTTLING, PATIENT)


def write(tmp_path, content):
    path = tmp_path / "platform.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def read(tmp_path, content, runbooks=RUNBOOKS):
    return PlatformConfig.read(write(tmp_path, content), runbooks)


def refusal(tmp_path, content, runbooks=RUNBOOKS):
    """Message without the file it starts with."""
    path = write(tmp_path, content)
    with pytest.raises(PlatformFileError) as raised:
        PlatformConfig.read(path, runbooks)
    return str(raised.value).removeprefix(f"{path}: ")


def throttling(**settings):
    return {"name": "shop", "runbooks": {"dynamodb_throttling": settings}}


def limits(**values):
    return throttling(limits=values)


# ---- the file itself


def test_refuses_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "platform.json"
    with pytest.raises(PlatformFileError) as raised:
        PlatformConfig.read(path, RUNBOOKS)
    assert str(raised.value) == (
        f"{path}: no such file; write it (platform.schema.json says how), or name another with "
        "--context platform=<path>"
    )


def test_refuses_a_directory(tmp_path):
    with pytest.raises(PlatformFileError) as raised:
        PlatformConfig.read(tmp_path, RUNBOOKS)
    assert str(raised.value) == (
        f"{tmp_path}: cannot be read (Is a directory); name a readable file with "
        "--context platform=<path>"
    )


def test_refuses_bytes_that_are_not_utf_8(tmp_path):
    path = tmp_path / "platform.json"
    path.write_bytes(b'{"name": "caf\xe9"}')
    with pytest.raises(PlatformFileError) as raised:
        PlatformConfig.read(path, RUNBOOKS)
    assert str(raised.value) == f"{path}: byte 13 is not UTF-8; save the file as UTF-8"


def test_refuses_text_that_is_not_json_and_says_where(tmp_path):
    text = '{\n  "name": "shop"\n  "tables": []\n}'
    assert refusal(tmp_path, text) == (
        "line 3, column 3: not JSON (Expecting ',' delimiter); mend it there or just before"
    )


def test_names_the_file_in_front_of_every_message(tmp_path):
    path = write(tmp_path, {})
    with pytest.raises(PlatformFileError) as raised:
        PlatformConfig.read(path, RUNBOOKS)
    assert (
        str(raised.value) == f'{path}: name: missing; add it, for example "name": "energy-insights"'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"name": "shop", "mode": "observe", "mode": "act"}',
            "mode: key given twice; remove one of the two",
        ),
        (
            '{"name": "shop", "tables": [{"table_name": "Orders"}, '
            '{"table_name": "Cart", "table_name": "Orders2"}]}',
            "tables[1].table_name: key given twice; remove one of the two",
        ),
        (
            '{"name": "shop", "runbooks": {"dynamodb_throttling": {}, "dynamodb_throttling": {}}}',
            "runbooks.dynamodb_throttling: key given twice; remove one of the two",
        ),
        (
            '{"name": "shop", "runbooks": {"dynamodb_throttling": '
            '{"limits": {"cool_down_seconds": 1, "cool_down_seconds": 2}}}}',
            "runbooks.dynamodb_throttling.limits.cool_down_seconds: key given twice; "
            "remove one of the two",
        ),
    ],
    ids=["top", "list", "runbook", "limit"],
)
def test_refuses_a_key_given_twice(tmp_path, text, message):
    assert refusal(tmp_path, text) == message


# ---- its shape

TABLE = {"table_name": "Orders"}
API = {"api_name": "shop-api", "api_id": "a1b2c3d4e5", "stage": "prod"}

SHAPE = {
    "not an object": ([], "must be an object, got a list"),
    "unknown key": (
        {"name": "shop", "tabels": []},
        "tabels: unknown key; did you mean tables? accepted: $schema, apis, buckets, dashboards, "
        "functions, max_changes_per_hour, mode, name, notifications, roles, runbooks, secrets, "
        "stacks, tables, user_pools",
    ),
    "unknown key with nothing like it": (
        {"name": "shop", "tables": [{**TABLE, "x": 1}]},
        "tables[0].x: unknown key; accepted: export_bucket, indexes, pointer_parameter, table_name",
    ),
    "misspelled required key": (
        {"name": "shop", "tables": [{"tablename": "Orders"}]},
        "tables[0].tablename: unknown key; did you mean table_name? accepted: export_bucket, "
        "indexes, pointer_parameter, table_name",
    ),
    "missing table name": (
        {"name": "shop", "tables": [TABLE, {"indexes": []}]},
        'tables[1].table_name: missing; add it, for example "table_name": "ChatMessage-prod"',
    ),
    "missing api id": (
        {"name": "shop", "apis": [{"api_name": "shop-api", "stage": "prod"}]},
        'apis[0].api_id: missing; add it, for example "api_id": "e1n2s3i4g5"',
    ),
    "string for a list": (
        {"name": "shop", "tables": "Orders"},
        'tables: must be a list, got "Orders"; for example [{"table_name": "ChatMessage-prod"}]',
    ),
    "string for an object": (
        {"name": "shop", "functions": ["chat"]},
        'functions[0]: must be an object, got "chat"; for example '
        '{"function_name": "chat-lambda", "alias": "live"}',
    ),
    "null for a string": (
        {"name": "shop", "functions": [{"function_name": "chat", "alias": None}]},
        'functions[0].alias: must be a string, got null; for example "live"',
    ),
    "object for a string": (
        {"name": {}},
        'name: must be a string, got an object; for example "energy-insights"',
    ),
    "fraction for a whole number": (
        {"name": "shop", "max_changes_per_hour": 6.0},
        "max_changes_per_hour: must be a whole number, got 6.0; for example 6",
    ),
    "boolean for a whole number": (
        {"name": "shop", "max_changes_per_hour": True},
        "max_changes_per_hour: must be a whole number, got true; for example 6",
    ),
    "string for a limit": (
        limits(cool_down_seconds="600"),
        "runbooks.dynamodb_throttling.limits.cool_down_seconds: must be a whole number, "
        'got "600"; for example 900',
    ),
    "number for an option": (
        throttling(options={"switch_to_on_demand": 1}),
        "runbooks.dynamodb_throttling.options.switch_to_on_demand: must be true or false, "
        "got 1; for example false",
    ),
    "too few changes": (
        {"name": "shop", "max_changes_per_hour": 0},
        "max_changes_per_hour: 0 is below the minimum 1; use 1 to 100 "
        "(Changes of the whole platform in a clock hour, all runbooks together)",
    ),
    "too many changes": (
        {"name": "shop", "max_changes_per_hour": 101},
        "max_changes_per_hour: 101 is above the maximum 100; use 1 to 100 "
        "(Changes of the whole platform in a clock hour, all runbooks together)",
    ),
    "unknown mode": (
        {"name": "shop", "mode": "observed"},
        'mode: unknown value "observed"; did you mean observe? accepted: observe, propose, act',
    ),
    "mode that is no string": (
        {"name": "shop", "mode": False},
        "mode: must be one of observe, propose, act, got false",
    ),
    "unknown protocol": (
        {"name": "shop", "apis": [{**API, "protocol": "WEBSOCKET"}]},
        'apis[0].protocol: unknown value "WEBSOCKET"; accepted: REST, HTTP',
    ),
    "unknown runbook mode": (
        throttling(mode="auto"),
        'runbooks.dynamodb_throttling.mode: unknown value "auto"; accepted: observe, propose, act',
    ),
}


@pytest.mark.parametrize(("data", "message"), SHAPE.values(), ids=SHAPE)
def test_refuses_a_wrong_shape(tmp_path, data, message):
    assert refusal(tmp_path, data) == message


# ---- names as AWS takes them

TABLE_RULE = "is not a DynamoDB table name: use 3 to 255 letters, digits, '_', '.' or '-'"
INDEX_RULE = "is not a DynamoDB index name: use 3 to 255 letters, digits, '_', '.' or '-'"
FUNCTION_RULE = "is not a Lambda function name: use 1 to 64 letters, digits, '-' or '_'"
ALIAS_RULE = (
    "is not a Lambda alias name: use 1 to 128 letters, digits, '-' or '_', not digits only; "
    "leave alias out if the function has none"
)
API_NAME_RULE = "is not an API name: use 1 to 255 ASCII characters, with no space at either end"
API_ID_RULE = (
    "is not an API id: use the 10 lower-case letters and digits at the start of the API's "
    "execute-api host name"
)
REST_STAGE_RULE = (
    "is not a stage of a REST API: use 1 to 128 letters, digits, '-' or '_'; for an HTTP API add "
    '"protocol": "HTTP"'
)
HTTP_STAGE_RULE = (
    "is not a stage of an HTTP API: use $default, or 1 to 128 letters, digits, '-' or '_'"
)
STACK_RULE = "is not a stack name: use 1 to 128 letters, digits or '-', and start with a letter"
EMAIL_RULE = "is not an e-mail address: use name@example.com"
NAME_RULE = (
    "is not a platform name: use 1 to 64 letters, digits, spaces, '.', '_' or '-', and start with "
    "a letter or digit"
)


def table(name):
    return {"tables": [{"table_name": name}]}


def index(name):
    return {"tables": [{**TABLE, "indexes": [name]}]}


def function(name):
    return {"functions": [{"function_name": name}]}


def alias(name):
    return {"functions": [{"function_name": "chat", "alias": name}]}


def api(**keys):
    return {"apis": [{**API, **keys}]}


def stack(name):
    return {"stacks": [{"stack_name": name}]}


def email(address):
    return {"notifications": {"email": [address]}}


NAMES = [
    ({"name": ""}, f'name: "" {NAME_RULE}'),
    ({"name": "-shop"}, f'name: "-shop" {NAME_RULE}'),
    ({"name": "a" * 65}, f'name: "{"a" * 65}" {NAME_RULE}'),
    (table("ab"), f'tables[0].table_name: "ab" {TABLE_RULE}'),
    (table("a" * 256), f'tables[0].table_name: "{"a" * 256}" {TABLE_RULE}'),
    (table("my table"), f'tables[0].table_name: "my table" {TABLE_RULE}'),
    (table("Größe"), f'tables[0].table_name: "Größe" {TABLE_RULE}'),
    (table("Orders\n"), f'tables[0].table_name: "Orders\\n" {TABLE_RULE}'),
    (index("by:date"), f'tables[0].indexes[0]: "by:date" {INDEX_RULE}'),
    (index("ix"), f'tables[0].indexes[0]: "ix" {INDEX_RULE}'),
    (function("chat:live"), f'functions[0].function_name: "chat:live" {FUNCTION_RULE}'),
    (function("f" * 65), f'functions[0].function_name: "{"f" * 65}" {FUNCTION_RULE}'),
    (alias("$LATEST"), f'functions[0].alias: "$LATEST" {ALIAS_RULE}'),
    (alias("12"), f'functions[0].alias: "12" {ALIAS_RULE}'),
    (alias("a" * 129), f'functions[0].alias: "{"a" * 129}" {ALIAS_RULE}'),
    (api(api_name=" shop"), f'apis[0].api_name: " shop" {API_NAME_RULE}'),
    (api(api_name=""), f'apis[0].api_name: "" {API_NAME_RULE}'),
    (api(api_id="prod"), f'apis[0].api_id: "prod" {API_ID_RULE}'),
    (api(api_id="A1B2C3D4E5"), f'apis[0].api_id: "A1B2C3D4E5" {API_ID_RULE}'),
    (api(stage="v1.0"), f'apis[0].stage: "v1.0" {REST_STAGE_RULE}'),
    (api(stage="$default"), f'apis[0].stage: "$default" {REST_STAGE_RULE}'),
    (api(stage="v1.0", protocol="HTTP"), f'apis[0].stage: "v1.0" {HTTP_STAGE_RULE}'),
    (stack("1stack"), f'stacks[0].stack_name: "1stack" {STACK_RULE}'),
    (stack("my_stack"), f'stacks[0].stack_name: "my_stack" {STACK_RULE}'),
    (email("on-call"), f'notifications.email[0]: "on-call" {EMAIL_RULE}'),
    (email("a@b"), f'notifications.email[0]: "a@b" {EMAIL_RULE}'),
    (email("a b@c.de"), f'notifications.email[0]: "a b@c.de" {EMAIL_RULE}'),
]


@pytest.mark.parametrize(("keys", "message"), NAMES)
def test_refuses_a_name_that_aws_refuses(tmp_path, keys, message):
    assert refusal(tmp_path, {"name": "shop", **keys}) == message


@pytest.mark.parametrize(
    "keys",
    [
        table("abc"),
        table("a" * 255),
        index("by_date.v2-all"),
        function("f" * 64),
        alias("1a"),
        alias("a" * 128),
        api(api_name="Shop (EU) API"),
        api(stage="v1_0-beta"),
        api(stage="$default", protocol="HTTP"),
        api(protocol="REST"),
        stack("S" + "1" * 127),
        email("first.last+pager@mail.example.co.uk"),
    ],
    ids=str,
)
def test_accepts_a_name_at_the_edge_in_schema_and_reader(tmp_path, keys):
    data = {"name": "shop", **keys}
    assert Draft202012Validator(SCHEMA).is_valid(data)
    assert read(tmp_path, data).platform == platform_file.parse(data)


# ---- names given twice

TWICE = {
    "tables": (
        {"tables": [TABLE, {"table_name": "Cart"}, {**TABLE, "indexes": ["by-date"]}]},
        'tables[2].table_name: "Orders" is already tables[0]; remove one of the two',
    ),
    "indexes": (
        {"tables": [TABLE, {"table_name": "Cart", "indexes": ["by-date", "by-user", "by-user"]}]},
        'tables[1].indexes[2]: "by-user" is already at position [1] of this list; '
        "remove one of the two",
    ),
    "functions": (
        {"functions": [{"function_name": "chat", "alias": "a"}, {"function_name": "chat"}]},
        'functions[1].function_name: "chat" is already functions[0]; remove one of the two',
    ),
    "apis": (
        {"apis": [API, {**API, "api_id": "f6g7h8i9j0"}]},
        'apis[1].api_name: "shop-api" is already apis[0]; remove one of the two',
    ),
    "stacks": (
        {"stacks": [{"stack_name": "Shop"}, {"stack_name": "Shop"}]},
        'stacks[1].stack_name: "Shop" is already stacks[0]; remove one of the two',
    ),
    "email": (
        {"notifications": {"email": ["a@b.de", "a@b.de"]}},
        'notifications.email[1]: "a@b.de" is already at position [0] of this list; '
        "remove one of the two",
    ),
}


@pytest.mark.parametrize(("keys", "message"), TWICE.values(), ids=TWICE)
def test_refuses_a_name_given_twice(tmp_path, keys, message):
    assert refusal(tmp_path, {"name": "shop", **keys}) == message


# ---- runbooks, by their declarations


def test_refuses_settings_of_a_runbook_that_does_not_exist(tmp_path):
    data = {"name": "shop", "runbooks": {"dynamodb-throttling": {"mode": "act"}}}
    assert refusal(tmp_path, data) == (
        "runbooks.dynamodb-throttling: unknown runbook; did you mean dynamodb_throttling? "
        "accepted: dynamodb_throttling, patient"
    )


def test_refuses_any_runbook_when_none_is_declared(tmp_path):
    assert refusal(tmp_path, throttling(mode="act"), ()) == (
        "runbooks.dynamodb_throttling: unknown runbook; there is none to set here, remove it"
    )


def test_refuses_a_limit_the_runbook_does_not_have(tmp_path):
    data = {"name": "shop", "runbooks": {"patient": {"limits": {"max_capacity_units": 5}}}}
    assert refusal(tmp_path, data) == (
        "runbooks.patient.limits.max_capacity_units: unknown limit; accepted: alarm_datapoints, "
        "alarm_evaluation_periods, approval_timeout_seconds, breaker_failures, "
        "breaker_open_seconds, child_timeout_seconds, cool_down_seconds, hold_checks, "
        "hold_interval_seconds, join_attempts, join_interval_seconds, look_back_seconds, "
        "max_changes_per_hour, metric_period_seconds, mitigation_lease_seconds, poll_attempts, "
        "poll_interval_seconds, verify_attempts, verify_interval_seconds, "
        "verify_minimum_samples, verify_window_seconds"
    )


def test_suggests_the_limit_that_was_meant(tmp_path):
    assert refusal(tmp_path, limits(max_capacity_unit=5)).startswith(
        "runbooks.dynamodb_throttling.limits.max_capacity_unit: unknown limit; "
        "did you mean max_capacity_units? accepted: "
    )


def test_refuses_a_function_behind_an_api_that_is_not_protected(tmp_path):
    api = {"api_name": "shop", "api_id": "e1n2s3i4g5", "stage": "prod", "functions": ["cart"]}
    data = {"name": "shop", "functions": [{"function_name": "chat"}], "apis": [api]}
    assert refusal(tmp_path, data) == (
        'apis[0].functions[0]: "cart" is not in functions; add it there, or take it out here'
    )


def test_refuses_a_key_of_iam_without_its_user(tmp_path):
    secret = {"secret_id": "shop/key", "issuer": "iam", "service_name": "bedrock.amazonaws.com"}
    assert refusal(tmp_path, {"name": "shop", "secrets": [secret]}) == (
        'secrets[0].user_name: missing, and issuer is "iam"; add it'
    )


def test_refuses_a_schedule_for_a_runbook_that_has_none(tmp_path):
    data = {"name": "shop", "runbooks": {"patient": {"schedule": "rate(1 day)"}}}
    assert refusal(tmp_path, data).startswith("runbooks.patient.schedule: unknown key; ")


def test_refuses_a_limit_above_its_maximum(tmp_path):
    assert refusal(tmp_path, limits(max_capacity_units=50_000)) == (
        "runbooks.dynamodb_throttling.limits.max_capacity_units: 50000 is above the maximum "
        "40000; use 1 to 40000 (ceiling of a table's capacity)"
    )


def test_refuses_a_limit_below_its_minimum(tmp_path):
    assert refusal(tmp_path, limits(cool_down_seconds=-1)) == (
        "runbooks.dynamodb_throttling.limits.cool_down_seconds: -1 is below the minimum 0; "
        "use 0 to 86400 (pause on a target after a run that acted)"
    )


@pytest.mark.parametrize("value", [1, 40_000])
def test_accepts_a_limit_at_either_bound(tmp_path, value):
    platform = read(tmp_path, limits(max_capacity_units=value)).platform
    assert THROTTLING.limits_for(platform).as_dict()["max_capacity_units"] == value


def test_refuses_an_option_the_runbook_does_not_have(tmp_path):
    assert refusal(tmp_path, throttling(options={"use_on_demand": True})) == (
        "runbooks.dynamodb_throttling.options.use_on_demand: unknown option; "
        "did you mean switch_to_on_demand? accepted: switch_to_on_demand"
    )


def test_refuses_an_option_of_a_runbook_without_options(tmp_path):
    data = {"name": "shop", "runbooks": {"patient": {"options": {"fast": True}}}}
    assert refusal(tmp_path, data) == (
        "runbooks.patient.options.fast: unknown option; there is none to set here, remove it"
    )


INCONSISTENT = {
    "more bad periods than periods": (
        limits(alarm_datapoints=4),
        "runbooks.dynamodb_throttling.limits.alarm_datapoints: 4 is more than "
        "alarm_evaluation_periods, 3; lower it, or raise alarm_evaluation_periods",
    ),
    "a period CloudWatch does not have": (
        limits(metric_period_seconds=90),
        "runbooks.dynamodb_throttling.limits.metric_period_seconds: 90 is not a period of "
        "CloudWatch; use 1, 5, 10, 20, 30 or a multiple of 60",
    ),
    "a window between two multiples": (
        limits(verify_window_seconds=100),
        "runbooks.dynamodb_throttling.limits.verify_window_seconds: 100 is not a multiple of "
        "metric_period_seconds, 60; use 60 or 120",
    ),
    "a window shorter than a period": (
        limits(verify_window_seconds=30),
        "runbooks.dynamodb_throttling.limits.verify_window_seconds: 30 is not a multiple of "
        "metric_period_seconds, 60; use 60",
    ),
    "a window shorter than the alarm's": (
        limits(verify_window_seconds=60, verify_minimum_samples=1),
        "runbooks.dynamodb_throttling.limits.verify_window_seconds: 60 is shorter than 2 "
        "periods of 60 seconds: after so little calm the alarm can still see 2 bad ones and turn "
        "red again; use at least 120, or raise alarm_datapoints",
    ),
    "more samples than the window has": (
        limits(verify_minimum_samples=6),
        "runbooks.dynamodb_throttling.limits.verify_minimum_samples: 6 is more than the 5 "
        "periods of 60 seconds in verify_window_seconds, 300; lower it, or raise "
        "verify_window_seconds",
    ),
    "an alarm that looks back over a day": (
        {
            "name": "shop",
            "runbooks": {
                "patient": {
                    "limits": {
                        "metric_period_seconds": 3_600,
                        "alarm_evaluation_periods": 25,
                        "verify_window_seconds": 3_600,
                        "verify_minimum_samples": 1,
                    }
                }
            },
        },
        "runbooks.patient.limits.alarm_evaluation_periods: 25 periods of 3600 seconds are longer "
        "than the day CloudWatch looks back; use at most 24, or lower metric_period_seconds",
    ),
}


@pytest.mark.parametrize(("data", "message"), INCONSISTENT.values(), ids=INCONSISTENT)
def test_refuses_limits_that_do_not_go_together(tmp_path, data, message):
    assert refusal(tmp_path, data) == message


@pytest.mark.parametrize(
    "values",
    [
        {"alarm_datapoints": 3},
        {"metric_period_seconds": 300, "alarm_datapoints": 3, "verify_minimum_samples": 1},
        {"metric_period_seconds": 1, "verify_window_seconds": 7},
        {"verify_minimum_samples": 5},
        {"verify_window_seconds": 600, "verify_minimum_samples": 10},
    ],
    ids=str,
)
def test_accepts_limits_that_just_go_together(tmp_path, values):
    platform = read(tmp_path, limits(**values)).platform
    assert platform.settings("dynamodb_throttling").limits == values


def test_accepts_an_alarm_that_looks_back_exactly_a_day(tmp_path):
    values = {
        "metric_period_seconds": 3_600,
        "alarm_evaluation_periods": 24,
        "alarm_datapoints": 24,
        "verify_window_seconds": 3_600,
        "verify_minimum_samples": 1,
    }
    data = {"name": "shop", "runbooks": {"patient": {"limits": values}}}
    assert read(tmp_path, data).platform.settings("patient").limits == values


# ---- one message


def test_tells_the_unknown_key_before_everything_else(tmp_path):
    data = {"max_changes_per_hour": 0, "tables": [{"indexes": "x", "tabel_name": "Orders"}]}
    assert refusal(tmp_path, data) == (
        "tables[0].tabel_name: unknown key; did you mean table_name? accepted: export_bucket, "
        "indexes, pointer_parameter, table_name"
    )


def test_tells_the_shallower_of_two_wrong_values(tmp_path):
    data = {"name": "shop", "tables": [{"table_name": "?"}], "stacks": "Shop"}
    assert refusal(tmp_path, data) == (
        'stacks: must be a list, got "Shop"; for example [{"stack_name": "EnergyInsightsStack"}]'
    )


# ---- what comes out


def test_the_text_is_canonical_and_leaves_the_editors_hint_out(tmp_path):
    text = '{"tables": [{"table_name": "Orders"}],\n "$schema": "./x.json", "name": "shop"}'
    assert read(tmp_path, text).text == '{"name":"shop","tables":[{"table_name":"Orders"}]}'


def test_the_text_says_the_same_as_the_platform(tmp_path):
    loaded = PlatformConfig.read(COMMITTED, [RUNBOOK])
    packaged = write(tmp_path, loaded.text)
    assert platform_file.load(packaged) == loaded.platform


def test_accepts_a_byte_order_mark(tmp_path):
    assert read(tmp_path, '\ufeff{"name": "shop"}').platform == Platform(name="shop")


def test_keeps_path_and_declarations(tmp_path):
    path = write(tmp_path, {"name": "shop"})
    loaded = PlatformConfig.read(path, iter(RUNBOOKS))
    assert (loaded.path, loaded.runbooks) == (path, RUNBOOKS)


def test_one_line_caps_every_runbook(tmp_path):
    platform = read(tmp_path, {**throttling(mode="act"), "mode": "observe"}).platform
    assert THROTTLING.ceiling(platform) is Mode.OBSERVE


def test_warns_of_a_function_without_alias(tmp_path):
    data = {
        "name": "shop",
        "functions": [
            {"function_name": "pay", "alias": "live"},
            {"function_name": "chat-lambda"},
        ],
    }
    assert read(tmp_path, data).warnings == (
        "functions[1] chat-lambda has no alias: incidents on it are only handed over",
    )


def test_warns_of_periods_that_aws_services_do_not_report(tmp_path):
    data = limits(metric_period_seconds=10)
    assert read(tmp_path, data, [THROTTLING]).warnings == (
        "runbooks.dynamodb_throttling.limits.metric_period_seconds is 10: AWS services report "
        "once a minute, so on AWS its alarms miss most periods",
    )


def test_warns_of_acting_on_what_cannot_be_taken_back(tmp_path):
    data = {"name": "shop", "runbooks": {"reset_password": {"mode": "act"}}}
    assert read(tmp_path, data, [PASSWORD]).warnings == (
        "runbooks.reset_password may act without a yes, and what it does cannot be taken back: "
        "propose asks first",
    )


def test_does_not_warn_when_the_platform_is_capped(tmp_path):
    data = {"name": "shop", "mode": "propose", "runbooks": {"reset_password": {"mode": "act"}}}
    assert read(tmp_path, data, [PASSWORD]).warnings == ()


# ---- alarm names


def alarm_names_refusal(tmp_path, tables, prefix="remediation"):
    loaded = read(tmp_path, {"name": "shop", "tables": tables}, [THROTTLING])
    with pytest.raises(PlatformFileError) as raised:
        loaded.check_alarm_names(prefix)
    return str(raised.value).removeprefix(f"{loaded.path}: ")


def test_refuses_an_alarm_name_longer_than_cloudwatch_takes(tmp_path):
    # "remediation-" + 120 + "-" + 113 + "-throttled" = 256
    tables = [TABLE, {"table_name": "t" * 120, "indexes": ["i" * 113]}]
    assert alarm_names_refusal(tmp_path, tables) == (
        f"tables[1]: alarm name remediation-{'t' * 120}-{'i' * 113}-throttled has 256 characters, "
        'CloudWatch takes 255; shorten the prefix "remediation", or take that out of tables[1]'
    )


def test_accepts_an_alarm_name_as_long_as_cloudwatch_takes(tmp_path):
    tables = [{"table_name": "t" * 120, "indexes": ["i" * 112]}]
    loaded = read(tmp_path, {"name": "shop", "tables": tables}, [THROTTLING])
    loaded.check_alarm_names("remediation")
    longest = max(len(alarm.name) for alarm in THROTTLING.alarms(loaded.platform, "remediation"))
    assert longest == 255


def test_refuses_two_alarms_of_one_name(tmp_path):
    tables = [{"table_name": "Orders", "indexes": ["by-date"]}, {"table_name": "Orders-by-date"}]
    assert alarm_names_refusal(tmp_path, tables) == (
        "tables[1]: alarm name remediation-Orders-by-date-throttled is already that of tables[0]; "
        "take one of the two out"
    )


# ---- the committed files


def test_the_committed_platform_is_the_one_of_the_operations_runbook():
    loaded = PlatformConfig.read(COMMITTED, [RUNBOOK])
    loaded.check_alarm_names("remediation")
    platform = loaded.platform
    assert [(t.table_name, t.indexes) for t in platform.tables] == [
        ("ChatMessage-prod", ("chatSessionId-index",)),
        ("ChatSession-prod", ()),
    ]
    assert [(f.function_name, f.alias) for f in platform.functions] == [("chat-lambda", "live")]
    assert [(a.api_name, a.stage) for a in platform.apis] == [("energy-insights-api", "prod")]
    assert [s.stack_name for s in platform.stacks] == ["EnergyInsightsStack"]
    assert loaded.warnings == ()


def test_the_committed_platform_lets_the_incident_runbook_act_within_its_limits():
    platform = PlatformConfig.read(COMMITTED, [RUNBOOK]).platform
    in_force = RUNBOOK.limits_for(platform).as_dict()
    assert platform.mode is None
    assert RUNBOOK.ceiling(platform) is Mode.ACT
    assert (in_force["max_capacity_units"], in_force["cool_down_seconds"]) == (1_000, 1_800)


def test_the_declared_limits_pass_without_any_override(tmp_path):
    assert read(tmp_path, {"name": "shop"}, [RUNBOOK]).warnings == ()


def test_the_declared_options_can_be_set(tmp_path):
    options = {"allow_on_demand": True}
    platform = read(tmp_path, throttling(options=options), [RUNBOOK]).platform
    assert RUNBOOK.options_for(platform)["allow_on_demand"] is True


def test_the_committed_platform_is_valid_for_an_editor():
    data = json.loads(COMMITTED.read_text())
    assert (COMMITTED.parent / data["$schema"]).resolve() == ROOT / "platform.schema.json"
    assert list(Draft202012Validator(SCHEMA).iter_errors(data)) == []


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator.check_schema(effective_schema(RUNBOOKS))
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def subschemas(schema, path="#"):
    """Every schema inside the schema, with its place."""
    yield path, schema
    for keyword in ("properties", "$defs"):
        for name, inner in schema.get(keyword, {}).items():
            yield from subschemas(inner, f"{path}/{keyword}/{name}")
    for keyword in ("items", "additionalProperties", "if", "then", "else"):
        inner = schema.get(keyword)
        if isinstance(inner, dict):
            yield from subschemas(inner, f"{path}/{keyword}")


def test_every_property_of_the_schema_is_described():
    silent = [
        f"{path}/{name}"
        for path, schema in subschemas(SCHEMA)
        if not path.endswith("/if")
        for name, inner in schema.get("properties", {}).items()
        if not inner.get("description")
    ]
    assert silent == []


def test_every_object_of_the_schema_is_closed_or_has_typed_values():
    open_objects = [
        path
        for path, schema in subschemas(SCHEMA)
        if schema.get("type") == "object" and schema.get("additionalProperties", True) is True
    ]
    assert [path for path in open_objects if "smoke_event" not in str(path)] == []


def test_every_object_is_closed_once_the_declarations_are_known():
    schema = effective_schema(RUNBOOKS)
    reachable = {key: value for key, value in schema.items() if key != "$defs"}
    open_objects = [
        path
        for path, inner in subschemas(reachable)
        if inner.get("type") == "object" and inner.get("additionalProperties") is not False
    ]
    # The payload of a function is the function's own business.
    assert [path for path in open_objects if "smoke_event" not in str(path)] == []


def test_every_example_of_the_schema_is_valid():
    wrong = [
        (path, example)
        for path, schema in subschemas(SCHEMA)
        for example in schema.get("examples", [])
        if not Draft202012Validator({**schema, "$defs": SCHEMA["$defs"]}).is_valid(example)
    ]
    assert wrong == []


def test_every_keyword_of_the_schema_has_a_message():
    annotations = {"$schema", "title", "description", "default", "examples", "patternErrorMessage"}
    applicators = {"properties", "$defs", "$ref", "items", "if", "then", "else"}
    # `const` stands only inside `if`, which never fails by itself.
    never_fail = annotations | applicators | {"const"}
    used = {keyword for _, schema in subschemas(SCHEMA) for keyword in schema}
    assert used - never_fail == set(config._EXPLAIN)


def test_every_pattern_of_the_schema_has_its_rule_in_words():
    silent = [
        path
        for path, schema in subschemas(SCHEMA)
        if "pattern" in schema and not schema.get("patternErrorMessage")
    ]
    assert silent == []


def test_the_schema_promises_the_defaults_that_are_used():
    platform = platform_file.parse({"name": "shop"})
    properties = SCHEMA["properties"]
    assert properties["max_changes_per_hour"]["default"] == platform.max_changes_per_hour
    assert properties["tables"]["default"] == list(platform.tables)
    assert properties["apis"]["items"]["properties"]["protocol"]["default"] == (
        platform_file.Api(**API).protocol
    )


def test_the_schema_accepts_every_key_that_the_reader_accepts(tmp_path):
    data = {
        "$schema": "./platform.schema.json",
        "name": "shop",
        "mode": "propose",
        "max_changes_per_hour": 1,
        "tables": [{"table_name": "Orders", "indexes": ["by-date"]}],
        "functions": [{"function_name": "chat", "alias": "live"}],
        "apis": [{**API, "protocol": "HTTP"}],
        "stacks": [{"stack_name": "Shop"}],
        "buckets": [{"bucket_name": "shop-artifacts", "prefixes": ["builds/"]}],
        "user_pools": [{"user_pool_id": "us-east-1_Shop", "groups": ["Buyers"]}],
        "secrets": [{"secret_id": "shop/api-key", "consumers": ["chat"]}],
        "dashboards": [{"dashboard_name": "Shop"}],
        "roles": [{"role_name": "shop-chat", "must_allow": ["dynamodb:GetItem"]}],
        "notifications": {"email": ["on-call@example.com"]},
        "runbooks": {
            "dynamodb_throttling": {
                "mode": "act",
                "limits": {"max_capacity_units": 400},
                "options": {"switch_to_on_demand": True},
            }
        },
    }
    assert set(data) == set(SCHEMA["properties"])
    assert Draft202012Validator(SCHEMA).is_valid(data)
    assert read(tmp_path, data).platform == Platform(
        name="shop",
        mode=Mode.PROPOSE,
        max_changes_per_hour=1,
        tables=(platform_file.Table(table_name="Orders", indexes=("by-date",)),),
        functions=(platform_file.Function(function_name="chat", alias="live"),),
        apis=(
            platform_file.Api(
                api_name="shop-api", api_id="a1b2c3d4e5", stage="prod", protocol="HTTP"
            ),
        ),
        stacks=(platform_file.CloudFormationStack(stack_name="Shop"),),
        buckets=(platform_file.Bucket(bucket_name="shop-artifacts", prefixes=("builds/",)),),
        user_pools=(platform_file.UserPool(user_pool_id="us-east-1_Shop", groups=("Buyers",)),),
        secrets=(platform_file.Secret(secret_id="shop/api-key", consumers=("chat",)),),
        dashboards=(platform_file.Dashboard(dashboard_name="Shop"),),
        roles=(platform_file.IamRole(role_name="shop-chat", must_allow=("dynamodb:GetItem",)),),
        notifications=platform_file.Notifications(email=("on-call@example.com",)),
        runbooks={
            "dynamodb_throttling": platform_file.RunbookSettings(
                mode=Mode.ACT,
                limits={"max_capacity_units": 400},
                options={"switch_to_on_demand": True},
            )
        },
    )
