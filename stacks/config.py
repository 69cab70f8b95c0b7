"""The only reader of the platform file at synth: one message that names the key and the fix.

The shape is in `platform.schema.json`, which editors use too. Runbook names, limits and options
come from the declarations, so a new limit needs no edit here or there.
"""

import copy
import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators

from lambdas.remediation import platform as platform_file
from lambdas.remediation.alarms import AlarmSpec
from lambdas.remediation.contracts import Mode, canonical_json
from lambdas.remediation.platform import Platform
from lambdas.remediation.runbook import Limits, Runbook

SCHEMA = Path(__file__).parents[1] / "platform.schema.json"

# Amazon CloudWatch API Reference, PutMetricAlarm: AlarmName.
ALARM_NAME_CHARACTERS = 255
# Amazon CloudWatch API Reference, PutMetricAlarm: periods below an hour may look back one day.
ALARM_WINDOW_SECONDS = 86_400
# Amazon CloudWatch API Reference, GetMetricData and MetricStat: Period.
SHORT_PERIODS_SECONDS = (1, 5, 10, 20, 30)

_NAMED = {
    "tables": "table_name",
    "functions": "function_name",
    "apis": "api_name",
    "stacks": "stack_name",
    "buckets": "bucket_name",
    "user_pools": "user_pool_id",
    "secrets": "secret_id",
    "dashboards": "dashboard_name",
    "roles": "role_name",
}
# Keys of an entry that name entries of another list.
_REFERENCES = (("apis", "functions"), ("apis", "tables"), ("secrets", "consumers"))
_REFERRED = {"functions": "functions", "tables": "tables", "consumers": "functions"}
_WANTED = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "object": "an object",
    "string": "a string",
}


class PlatformFileError(ValueError):
    """The platform file cannot be used; the message names the key and what to do."""


@dataclass(frozen=True, kw_only=True)
class PlatformConfig:
    """A platform file that has passed every check.

    Parameters
    ----------
    path
        Where it was read from.
    platform
        What it says.
    runbooks
        Declarations it was checked against.
    text
        The same as canonical JSON: what travels in the functions' zip.
    warnings
        Sentences for whoever synthesises: allowed, but probably not what was meant.
    """

    path: Path
    platform: Platform
    runbooks: tuple[Runbook, ...]
    text: str
    warnings: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, runbooks: Iterable[Runbook]) -> "PlatformConfig":
        """Read and check a platform file.

        Parameters
        ----------
        path
            The file.
        runbooks
            Every declaration; the file may set no other runbook, limit or option.

        Raises
        ------
        PlatformFileError
            The first thing that is wrong, with the fix.
        """
        declared = tuple(runbooks)
        data = _load(path)
        problem = next(_problems(data, declared), None)
        if problem:
            raise PlatformFileError(f"{path}: {problem}")
        # An editor's hint: without it, moving the schema does not redeploy every function.
        data.pop("$schema", None)
        platform = platform_file.parse(data)
        return cls(
            path=path,
            platform=platform,
            runbooks=declared,
            text=canonical_json(data),
            warnings=tuple(_warnings(platform, declared)),
        )

    def check_alarm_names(self, prefix: str) -> None:
        """Refuse alarm names that CloudWatch would refuse, or that two alarms would share.

        Parameters
        ----------
        prefix
            What every physical name starts with.

        Raises
        ------
        PlatformFileError
            A name is longer than 255 characters, or given to two alarms: `<table>-<index>` can
            be another table's name.
        """
        owners: dict[str, str] = {}
        for runbook in self.runbooks:
            for alarm in runbook.alarms(self.platform, prefix):
                owner = _owner(self.platform, runbook, alarm)
                problem = _alarm_name_problem(alarm.name, owner, prefix, owners)
                if problem:
                    raise PlatformFileError(f"{self.path}: {problem}")
                owners[alarm.name] = owner


def effective_schema(runbooks: Iterable[Runbook]) -> dict[str, Any]:
    """`platform.schema.json`, closed by the declarations.

    Parameters
    ----------
    runbooks
        The runbooks that settings are accepted for, with their limits and options.
    """
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    settings = schema["$defs"]["runbook"]
    schema["properties"]["runbooks"].update(
        additionalProperties=False,
        properties={runbook.name: _settings_schema(settings, runbook) for runbook in runbooks},
    )
    return schema


def _settings_schema(settings: dict[str, Any], runbook: Runbook) -> dict[str, Any]:
    closed = copy.deepcopy(settings)
    if not runbook.schedulable:
        del closed["properties"]["schedule"]
    limits, options = closed["properties"]["limits"], closed["properties"]["options"]
    limits.update(
        additionalProperties=False,
        properties={
            limit.name: {
                "type": "integer",
                "minimum": limit.metadata["minimum"],
                "maximum": limit.metadata["maximum"],
                "description": limit.metadata["meaning"],
                "examples": [getattr(runbook.limits, limit.name)],
            }
            for limit in dataclasses.fields(runbook.limits)
        },
    )
    options.update(
        additionalProperties=False,
        properties={
            name: {"type": "boolean", "examples": [default]}
            for name, default in runbook.options.items()
        },
    )
    return closed


class _Object(dict[str, Any]):
    """A JSON object that remembers a key it was given twice; `json` keeps only the last value."""

    repeated: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object()
    for key, value in pairs:
        if key in made:
            made.repeated = made.repeated or key
        made[key] = value
    return made


def _load(path: Path) -> Any:
    try:
        # Editors on Windows write a byte order mark, which JSON does not allow.
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except FileNotFoundError:
        raise PlatformFileError(
            f"{path}: no such file; write it (platform.schema.json says how), or name another "
            "with --context platform=<path>"
        ) from None
    except OSError as error:
        raise PlatformFileError(
            f"{path}: cannot be read ({error.strerror}); name a readable file with "
            "--context platform=<path>"
        ) from None
    except UnicodeDecodeError as error:
        raise PlatformFileError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise PlatformFileError(
            f"{path}: line {error.lineno}, column {error.colno}: not JSON ({error.msg}); "
            "mend it there or just before"
        ) from None


def _problems(data: Any, runbooks: Sequence[Runbook]) -> Iterator[str]:
    """What is wrong, worst first. Lazy: each check may rely on those before it."""
    yield from _repeated_keys(data, "")
    yield from _structure(data, effective_schema(runbooks))
    yield from _repeated_names(data)
    yield from _unknown_names(data)
    yield from _issuers_without_user(data)
    platform = platform_file.parse(data)
    for runbook in runbooks:
        for limit, problem in _inconsistencies(runbook.limits_for(platform)):
            yield f"runbooks.{runbook.name}.limits.{limit}: {problem}"


def _repeated_keys(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Object):
        if value.repeated is not None:
            yield f"{_at(path, value.repeated)}: key given twice; remove one of the two"
        for key, inner in value.items():
            yield from _repeated_keys(inner, _at(path, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _repeated_keys(inner, _at(path, position))


def _repeated_names(data: dict[str, Any]) -> Iterator[str]:
    for section, key in _NAMED.items():
        names = [entry[key] for entry in data.get(section, [])]
        repeat = _repeat(names)
        if repeat:
            first, second = repeat
            yield (
                f"{section}[{second}].{key}: {_quoted(names[second])} is already "
                f"{section}[{first}]; remove one of the two"
            )


def _unknown_names(data: dict[str, Any]) -> Iterator[str]:
    """What is said to be behind an API, or to read a secret, has to be protected too."""
    for owner, key in _REFERENCES:
        section = _REFERRED[key]
        known = [entry[_NAMED[section]] for entry in data.get(section, [])]
        for position, entry in enumerate(data.get(owner, [])):
            for number, name in enumerate(entry.get(key, [])):
                if name not in known:
                    yield (
                        f"{owner}[{position}].{key}[{number}]: {_quoted(name)} is not in "
                        f"{section}; add it there, or take it out here"
                    )


def _issuers_without_user(data: dict[str, Any]) -> Iterator[str]:
    """IAM makes a credential of one user, for one service."""
    for position, entry in enumerate(data.get("secrets", [])):
        for key in ("user_name", "service_name"):
            if entry.get("issuer") == "iam" and key not in entry:
                yield f'secrets[{position}].{key}: missing, and issuer is "iam"; add it'


def _repeat(values: list[Any]) -> tuple[int, int] | None:
    """Positions of the first value that is there twice."""
    for second, value in enumerate(values):
        first = values.index(value)
        if first < second:
            return first, second
    return None


def _whole(
    _validator: Any, pattern: str, instance: Any, _schema: dict[str, Any]
) -> Iterator[ValidationError]:
    # Python's `$` also matches before a final newline; JSON Schema's, as editors run it, does not.
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


_Validator = validators.extend(
    Draft202012Validator,
    validators={"pattern": _whole},
    # JSON Schema calls 2.0 an integer; Python would carry a float into every limit.
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def _structure(data: Any, schema: dict[str, Any]) -> Iterator[str]:
    # An unknown key first: it is often the misspelling of a key that is then reported missing.
    errors = sorted(
        _Validator(schema).iter_errors(data),
        key=lambda error: (error.validator != "additionalProperties", len(error.absolute_path)),
    )
    for error in errors:
        path = ""
        for part in error.absolute_path:
            path = _at(path, part)
        key, problem = _EXPLAIN[error.validator](error)
        where = path if key is None else _at(path, key)
        yield f"{where}: {problem}" if where else problem


Explained = tuple[str | int | None, str]


def _unknown(error: ValidationError) -> Explained:
    accepted = sorted(error.schema.get("properties", {}))
    name = next(key for key in error.instance if key not in accepted)
    parent = error.absolute_path[-1] if error.absolute_path else None
    kind = {"runbooks": "runbook", "limits": "limit", "options": "option"}.get(str(parent), "key")
    if not accepted:
        return name, f"unknown {kind}; there is none to set here, remove it"
    return name, f"unknown {kind}; {_alternatives(name, accepted)}"


def _missing(error: ValidationError) -> Explained:
    name = next(key for key in error.validator_value if key not in error.instance)
    example = json.dumps(error.schema["properties"][name]["examples"][0])
    return name, f"missing; add it, for example {_quoted(name)}: {example}"


def _type(error: ValidationError) -> Explained:
    problem = f"must be {_WANTED[error.validator_value]}, got {_got(error.instance)}"
    examples = error.schema.get("examples")
    return None, f"{problem}; for example {json.dumps(examples[0])}" if examples else problem


def _choice(error: ValidationError) -> Explained:
    if not isinstance(error.instance, str):
        accepted = ", ".join(error.validator_value)
        return None, f"must be one of {accepted}, got {_got(error.instance)}"
    return None, (
        f"unknown value {_quoted(error.instance)}; "
        f"{_alternatives(error.instance, error.validator_value)}"
    )


def _pattern(error: ValidationError) -> Explained:
    return None, f"{_quoted(error.instance)} is {error.schema['patternErrorMessage']}"


def _bounds(error: ValidationError) -> Explained:
    low, high = error.schema["minimum"], error.schema["maximum"]
    side = "below the minimum" if error.validator == "minimum" else "above the maximum"
    meaning = error.schema["description"].split(". ")[0].rstrip(".")
    return None, (
        f"{error.instance} is {side} {error.validator_value}; use {low} to {high} ({meaning})"
    )


def _twice(error: ValidationError) -> Explained:
    repeat = _repeat(error.instance)
    if repeat is None:  # `uniqueItems` has just found one
        raise AssertionError(error.message)
    first, second = repeat
    return second, (
        f"{_quoted(error.instance[second])} is already at position [{first}] of this list; "
        "remove one of the two"
    )


# Every keyword of the schema that can fail; a test holds the two together.
_EXPLAIN: dict[str, Callable[[ValidationError], Explained]] = {
    "additionalProperties": _unknown,
    "enum": _choice,
    "maximum": _bounds,
    "minimum": _bounds,
    "pattern": _pattern,
    "required": _missing,
    "type": _type,
    "uniqueItems": _twice,
}


def _inconsistencies(limits: Limits) -> Iterator[tuple[str, str]]:
    """Limits that are each within bounds, and do not go together."""
    period = limits.metric_period_seconds
    if period not in SHORT_PERIODS_SECONDS and period % 60:
        yield (
            "metric_period_seconds",
            f"{period} is not a period of CloudWatch; use 1, 5, 10, 20, 30 or a multiple of 60",
        )
    yield from _alarm_inconsistencies(limits)
    yield from _verification_inconsistencies(limits)


def _alarm_inconsistencies(limits: Limits) -> Iterator[tuple[str, str]]:
    period, periods = limits.metric_period_seconds, limits.alarm_evaluation_periods
    if limits.alarm_datapoints > periods:
        yield (
            "alarm_datapoints",
            f"{limits.alarm_datapoints} is more than alarm_evaluation_periods, {periods}; lower "
            "it, or raise alarm_evaluation_periods",
        )
    if period * periods > ALARM_WINDOW_SECONDS:
        yield (
            "alarm_evaluation_periods",
            f"{periods} periods of {period} seconds are longer than the day CloudWatch looks "
            f"back; use at most {ALARM_WINDOW_SECONDS // period}, or lower metric_period_seconds",
        )


def _verification_inconsistencies(limits: Limits) -> Iterator[tuple[str, str]]:
    period, window = limits.metric_period_seconds, limits.verify_window_seconds
    # Good periods after which too few bad ones are left in what the alarm looks at.
    calm = limits.alarm_evaluation_periods - limits.alarm_datapoints + 1
    if window % period:
        yield (
            "verify_window_seconds",
            f"{window} is not a multiple of metric_period_seconds, {period}; use "
            f"{_multiples(window, period)}",
        )
    elif window < period * calm:
        yield (
            "verify_window_seconds",
            f"{window} is shorter than {calm} periods of {period} seconds: after so little calm "
            f"the alarm can still see {limits.alarm_datapoints} bad ones and turn red again; use "
            f"at least {period * calm}, or raise alarm_datapoints",
        )
    elif limits.verify_minimum_samples > window // period:
        yield (
            "verify_minimum_samples",
            f"{limits.verify_minimum_samples} is more than the {window // period} periods of "
            f"{period} seconds in verify_window_seconds, {window}; lower it, or raise "
            "verify_window_seconds",
        )


def _multiples(value: int, step: int) -> str:
    """The multiples of `step` on either side of `value`."""
    below, above = value // step * step, value // step * step + step
    return f"{below} or {above}" if below else str(above)


def _warnings(platform: Platform, runbooks: Sequence[Runbook]) -> Iterator[str]:
    for position, function in enumerate(platform.functions):
        if function.alias is None:
            yield (
                f"functions[{position}] {function.function_name} has no alias: incidents on it "
                "are only handed over"
            )
    for runbook in runbooks:
        period = runbook.limits_for(platform).metric_period_seconds
        if period < 60:
            yield (
                f"runbooks.{runbook.name}.limits.metric_period_seconds is {period}: AWS services "
                "report once a minute, so on AWS its alarms miss most periods"
            )
        if not runbook.reversible and runbook.ceiling(platform) is Mode.ACT:
            yield (
                f"runbooks.{runbook.name} may act without a yes, and what it does cannot be taken "
                "back: propose asks first"
            )


def _owner(platform: Platform, runbook: Runbook, alarm: AlarmSpec) -> str:
    """Place in the file that asks for the alarm."""
    for section, key in _NAMED.items():
        for position, entry in enumerate(getattr(platform, section)):
            if alarm.target.get(key) == getattr(entry, key):
                return f"{section}[{position}]"
    return f"runbooks.{runbook.name}"


def _alarm_name_problem(name: str, owner: str, prefix: str, owners: dict[str, str]) -> str | None:
    if len(name) > ALARM_NAME_CHARACTERS:
        return (
            f"{owner}: alarm name {name} has {len(name)} characters, CloudWatch takes "
            f"{ALARM_NAME_CHARACTERS}; shorten the prefix {_quoted(prefix)}, or take that out of "
            f"{owner}"
        )
    if name in owners:
        return (
            f"{owner}: alarm name {name} is already that of {owners[name]}; take one of the two out"
        )
    return None


def _alternatives(name: str, accepted: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, accepted, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"accepted: {', '.join(accepted)}"


def _at(path: str, part: str | int) -> str:
    if isinstance(part, int):
        return f"{path}[{part}]"
    return f"{path}.{part}" if path else part


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _got(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
