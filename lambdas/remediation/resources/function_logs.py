"""What a function's log says about its errors and its starts, without what the application logs.

A log line may hold anything: keys, addresses, whole requests. What leaves this module is the class
of an error and the first line of its message, with everything masked that is, or may be, a value;
and the numbers of Lambda's own reports.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from lambdas.remediation.errors import TargetNotFoundError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import reading

# Amazon CloudWatch Logs User Guide, "Filter pattern syntax": `?` before each of the terms means any
# of them. They cover the text and the JSON format, of the application and of Lambda itself.
FILTER_PATTERN = '?ERROR ?CRITICAL ?Error ?Exception ?"Task timed out" ?timeout'
# What SDKs log of a call that IAM denied: its error code, or the text of its message.
DENIED_PATTERN = '?AccessDenied ?"not authorized to perform"'
# Lambda's report of an invocation, in the text and in the JSON format.
REPORT_PATTERN = '?"REPORT RequestId" ?"platform.report"'
MAX_PAGES = 5
EVENTS_PER_PAGE = 1_000
MAX_SECONDS = 8.0
MAX_PATTERNS = 3
MAX_CHARACTERS = 120
# What is longer is not looked at: a regular expression over a whole request takes its time.
_MAX_LINE = 1_000


class ErrorPattern(Frozen):
    """A kind of error, masked, and how often it was logged."""

    pattern: str
    count: int


class LoggedErrors(Frozen):
    """The most frequent errors of a time, and whether all of that time was read.

    Parameters
    ----------
    errors
        Events that hold an error, those without a place in `patterns` too.
    """

    patterns: tuple[ErrorPattern, ...] = ()
    errors: int = 0
    complete: bool = True


class Reports(Frozen):
    """Lambda's reports of invocations, and whether all of that time was read.

    Parameters
    ----------
    init_milliseconds
        Of each invocation for which an environment was started: how long that took.
    """

    invocations: int = 0
    init_milliseconds: tuple[float, ...] = ()
    complete: bool = True


class FunctionLogs:
    """Reads the logs of functions; changes nothing.

    Parameters
    ----------
    client
        Client of CloudWatch Logs.
    timer
        Seconds that never go back.
    """

    service: ClassVar[str] = "logs"

    def __init__(self, client: Any, timer: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._timer = timer

    def errors(self, log_group: str, *, start: datetime, end: datetime) -> LoggedErrors:
        """Most frequent errors of a log group, oldest events first, as far as time allows.

        Raises
        ------
        TargetNotFoundError
            There is no such log group.
        ThrottledError
            CloudWatch Logs has no time now.
        """
        counted: Counter[str] = Counter()
        complete = False
        for events, last in self._pages(log_group, FILTER_PATTERN, start, end):
            found = (error_pattern(event.get("message", "")) for event in events)
            counted.update(pattern for pattern in found if pattern)
            complete = last
        return LoggedErrors(
            patterns=tuple(
                ErrorPattern(pattern=pattern, count=count)
                for pattern, count in counted.most_common(MAX_PATTERNS)
            ),
            errors=counted.total(),
            complete=complete,
        )

    def reports(self, log_group: str, version: str, *, start: datetime, end: datetime) -> Reports:
        """Invocations of a version, oldest first, as far as time allows.

        Raises
        ------
        TargetNotFoundError
            There is no such log group.
        ThrottledError
            CloudWatch Logs has no time now.
        """
        invocations, starts, complete = 0, [], False
        for events, last in self._pages(log_group, REPORT_PATTERN, start, end):
            for event in events:
                if not _is_of(version, event.get("logStreamName", "")):
                    continue
                init = report_init(event.get("message", ""))
                if init is not None:
                    invocations += 1
                    starts += [init] if init else []
            complete = last
        return Reports(invocations=invocations, init_milliseconds=tuple(starts), complete=complete)

    def denials(self, log_group: str, *, start: datetime, end: datetime) -> int:
        """Events that tell of a call that IAM denied, as far as time allows.

        A log group that does not exist has none: Lambda makes it with the first event.

        Raises
        ------
        ThrottledError
            CloudWatch Logs has no time now.
        """
        try:
            return sum(len(p) for p, _ in self._pages(log_group, DENIED_PATTERN, start, end))
        except TargetNotFoundError:
            return 0

    def _pages(
        self, log_group: str, pattern: str, start: datetime, end: datetime
    ) -> Iterator[tuple[list[dict[str, Any]], bool]]:
        """Events page by page, and whether it is the last page there is."""
        wanted: dict[str, Any] = {
            "logGroupName": log_group,
            "startTime": int(start.timestamp() * 1_000),
            "endTime": int(end.timestamp() * 1_000),
            "filterPattern": pattern,
            "limit": EVENTS_PER_PAGE,
        }
        deadline = self._timer() + MAX_SECONDS
        for _ in range(MAX_PAGES):
            with reading(f"log group {log_group}"):
                answer = self._client.filter_log_events(**wanted)
            more = answer.get("nextToken")
            # A page may be empty and yet not be the last one.
            yield answer.get("events", []), more is None
            if more is None or self._timer() >= deadline:
                return
            wanted["nextToken"] = more


# --- how an invocation started ---

# Patterns are texts, here and below: `re` compiles one at its first use and keeps it, so that a
# function which never comes to read a log does not pay for them at its start.
_INIT = r"\bInit Duration: ([\d.]+) ms"
# Lambda names a log stream after the day and the version: `2026/03/02/[7]0a1b...`.
_VERSION_IN_STREAM = r"\[(\$LATEST|\d+)\]"


def report_init(message: str) -> float | None:
    """Milliseconds that an invocation's environment took to start; 0 if it was there already.

    None if the event is no report of Lambda's.
    """
    if message.startswith("REPORT RequestId: "):
        found = re.search(_INIT, message)
        return float(found[1]) if found else 0.0
    if not message.lstrip().startswith("{"):
        return None
    try:
        event = json.loads(message)
    except ValueError:
        return None
    if event.get("type") != "platform.report" or not isinstance(event.get("record"), dict):
        return None
    return float(event["record"].get("metrics", {}).get("initDurationMs", 0))


def _is_of(version: str, stream: str) -> bool:
    """Whether a log stream is of a version; one that names none may be."""
    found = re.search(_VERSION_IN_STREAM, stream)
    return found is None or found[1] == version


# --- what kind of error a log event is ---

_CLASS = (
    r"(?:[A-Za-z_$][\w$]*\.)*(?:[A-Z]\w*)?(?:Error|Exception|Exit|Interrupt|Fault|Failure)"
    r"(?![A-Za-z])"
)
# A message is what follows on the same line.
_CLASS_AND_MESSAGE = rf"(?<![\w.])({_CLASS})(?::[ \t]*([^\n]*))?"
_LEVELS = {"ERROR", "CRITICAL", "FATAL", "SEVERE"}
_LEVEL = rf"(?:^|[\s\[])(?:{'|'.join(sorted(_LEVELS))})(?=[\s\]:])"
# How the runtimes begin a line: level, time and request id, in this order or another.
_PREFIX = (
    rf"(?:\[?(?:{'|'.join(sorted(_LEVELS))})\]?[:\s]+"
    r"|\d{4}-\d\d-\d\d[T ][\d:.,]+Z?\s+"
    r"|(?:RequestId:\s*)?[0-9a-f]{8}-[0-9a-f-]{27}\s+)+"
)
# Lambda's own lines repeat what the runtime has logged.
_OF_THE_PLATFORM = ("START ", "END ", "REPORT ", "INIT_START ", "INIT_REPORT ", "EXTENSION ")
_TIMED_OUT = r"Task timed out after [\d.]+ seconds"
_EMBEDDED = '{"errorType"'


def error_pattern(message: str) -> str | None:
    """The kind of error that a log event tells of, masked and cut; None if it tells of none."""
    found = _from_json(message) if message.lstrip().startswith("{") else _from_text(message)
    if found is None:
        return None
    name, text = found
    shown = ": ".join(part for part in (name, masked(text, name)) if part)
    return shown if len(shown) <= MAX_CHARACTERS else shown[: MAX_CHARACTERS - 3] + "..."


def _from_text(message: str) -> tuple[str, str] | None:
    """Class and first line of an error in a text event."""
    text = message[:_MAX_LINE]
    if text.startswith(_OF_THE_PLATFORM):
        return None
    timed_out = re.search(_TIMED_OUT, text)
    if timed_out:
        return "", timed_out.group()
    if _EMBEDDED in text:
        # Node.js: `ERROR Invoke Error {"errorType": ..., "stack": [...]}`.
        return _from_json(message[message.index(_EMBEDDED) :])
    prefix = re.match(_PREFIX, text)
    body = text[prefix.end() :] if prefix else text
    first = body.partition("\n")[0].strip()
    if not re.search(_LEVEL, text.partition("\n")[0]):
        named = re.match(_CLASS_AND_MESSAGE, first) or _raised(body)
        return named and (named[1], named[2] or "")
    named = (
        re.match(_CLASS_AND_MESSAGE, first) or _raised(body) or re.search(_CLASS_AND_MESSAGE, first)
    )
    return (named[1], named[2] or "") if named else ("", first or "an error without text")


def _raised(body: str) -> re.Match[str] | None:
    """What the last line of a traceback says, where there is one."""
    if "Traceback (most recent call last)" not in body:
        return None
    return re.match(_CLASS_AND_MESSAGE, body.rstrip().rpartition("\n")[2].strip())


def _from_json(message: str) -> tuple[str, str] | None:
    """Class and first line of an error in a JSON event, of a logger or of Lambda itself."""
    try:
        event = json.loads(message)
    except ValueError:
        return _from_broken_json(message)
    if isinstance(event.get("record"), dict):
        return _from_platform(event)
    name = event.get("errorType") or event.get("exception_name")
    text = event.get("errorMessage") or event.get("message") or event.get("msg")
    first = text.strip().partition("\n")[0] if isinstance(text, str) else ""
    if isinstance(name, str) and re.fullmatch(_CLASS, name):
        return name, first
    if str(event.get("level", "")).upper() not in _LEVELS and not name:
        return None
    named = re.match(_CLASS_AND_MESSAGE, first)
    return (named[1], named[2] or "") if named else ("", first or "an error without text")


def _from_platform(event: dict[str, Any]) -> tuple[str, str] | None:
    """Lambda's own report of an invocation; what the code raised is logged by the runtime too."""
    name = event["record"].get("errorType")
    if event.get("type") != "platform.report":
        return None
    if event["record"].get("status") == "timeout":
        return "", "Task timed out"
    own = isinstance(name, str) and re.fullmatch(r"(?:Runtime|Sandbox|Extension)\.\w+", name)
    return (name, "") if own else None


def _from_broken_json(message: str) -> tuple[str, str] | None:
    """An event that was cut: the class is all that can be told from it."""
    named = re.search(rf'"(?:errorType|exception_name)"\s*:\s*"({_CLASS})"', message[:_MAX_LINE])
    return (named[1], "") if named else None


# --- masking ---

# Names of keys and attributes are what one needs to know of these; elsewhere a quoted text is data.
_NAMES_IN_QUOTES = {
    "AttributeError",
    "ImportError",
    "KeyError",
    "ModuleNotFoundError",
    "NameError",
    "Runtime.HandlerNotFound",
    "Runtime.ImportModuleError",
    "TypeError",
    "UnboundLocalError",
}
_PLAIN_NAME = r"[A-Za-z_][A-Za-z_.\-]{0,39}"
# A quote that is not closed begins a value that was cut, or has quotes inside.
_QUOTED = r"\"((?:[^\"\\]|\\.)*)\"|(?<!\w)'((?:[^'\\]|\\.)*)'|`([^`]*)`|[\"`].*|(?<!\w)'.*"
_SENSITIVE = (
    r"[\w-]{0,30}(?:passw|passphrase|pwd|secret|token|credential|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|auth|signature|cookie|session|jwt)[\w-]{0,30}"
)
_MASKS: tuple[tuple[str, str], ...] = (
    (r"(?i)\b[a-z][a-z0-9+.-]{0,15}://\S+", "<url>"),
    (r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*", "<email>"),
    (r"(?i)\b(bearer|basic|digest)\s+[^\s,;]+", r"\1 <masked>"),
    # `password=x`, `"password": "x"`, and `password x1` where x1 can be no word of a sentence.
    (
        rf"(?i)[\"']?({_SENSITIVE})[\"']?\s*[:=]+\s*(?:\"[^\"]*\"|'[^']*'|[^\s,;&}}\])]+)",
        r"\1=<masked>",
    ),
    (rf"(?i)({_SENSITIVE})\s+(?=[A-Za-z]*[^A-Za-z\s,.;:])\S+", r"\1 <masked>"),
)
_IDENTIFIERS: tuple[tuple[str, str], ...] = (
    (r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<id>"),
    (r"\b(?:sk|pk|rk|ghp|gho|ghs|xox[a-z]|AKIA|ASIA)[-_A-Za-z0-9]{8,}", "<masked>"),
    (r"\beyJ[\w=-]+(?:\.[\w=-]+)*", "<masked>"),
    (r"(?i)\b(?:0x)?(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", "<id>"),
)
_LONG = r"[A-Za-z0-9+/=_-]{20,}"
# Random text has digits, or a small letter by itself, where words in a row have none.
_NOT_WORDS = r"[0-9+=]|(?<![a-z])[a-z](?![a-z])|[A-Z]{7,}"
_MAX_WORDS = 60
_NUMBER = r"\d+(?:[.,:]\d+)*"


def masked(text: str, name: str = "") -> str:
    """The first line of an error's message with values taken out.

    Parameters
    ----------
    name
        Class of the error: some put a name in quotes, the others put data there.
    """
    text = text[:_MAX_LINE].strip().partition("\n")[0]
    names = name in _NAMES_IN_QUOTES
    for pattern, mask in _MASKS:
        text = re.sub(pattern, mask, text)
    text = re.sub(_QUOTED, lambda m: _quoted(m, names=names), text)
    for pattern, mask in _IDENTIFIERS:
        text = re.sub(pattern, mask, text)
    text = re.sub(_LONG, lambda m: m[0] if _is_words(m[0]) else "<masked>", text)
    return " ".join(re.sub(_NUMBER, "#", text).split())


def _quoted(found: re.Match[str], *, names: bool) -> str:
    inside = next((g for g in found.groups() if g is not None), "")
    return f"'{inside}'" if names and re.fullmatch(_PLAIN_NAME, inside) else "'<value>'"


def _is_words(text: str) -> bool:
    return len(text) <= _MAX_WORDS and re.search(_NOT_WORDS, text) is None
