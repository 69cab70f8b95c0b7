"""Errors of a log: which kinds, how often, and nothing of what the application logs."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation import clients
from lambdas.remediation.errors import TargetNotFoundError, ThrottledError
from lambdas.remediation.resources.function_logs import (
    FILTER_PATTERN,
    REPORT_PATTERN,
    ErrorPattern,
    FunctionLogs,
    Reports,
    error_pattern,
    masked,
    report_init,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GROUP = "/aws/lambda/chat"
REQUEST = "5f0c1b2a-1111-2222-3333-444455556666"
MOMENT = "2026-03-02T12:00:00.000Z"
TRACEBACK = 'Traceback (most recent call last):\n  File "/var/task/app.py", line 3, in handler'


def as_json(**fields: object) -> str:
    return json.dumps(fields)


class TestErrorPattern:
    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            (f"[ERROR] KeyError: 'user_id'\n{TRACEBACK}", "KeyError: 'user_id'"),
            (f"[ERROR] ZeroDivisionError\n{TRACEBACK}", "ZeroDivisionError"),
            (
                f"[ERROR]\t{MOMENT}\t{REQUEST}\tcould not save\n{TRACEBACK}\nKeyError: 'total'",
                "KeyError: 'total'",
            ),
            (f"[ERROR]\t{MOMENT}\t{REQUEST}\tno answer from 10.0.0.1", "no answer from #"),
            (f"{TRACEBACK}\nmyapp.errors.QuotaError: 3 left", "myapp.errors.QuotaError: # left"),
            (
                f"{MOMENT} {REQUEST} Task timed out after 3.00 seconds",
                "Task timed out after # seconds",
            ),
            (
                f"RequestId: {REQUEST} Error: Runtime exited with error: exit status 1\n"
                "Runtime.ExitError",
                "Error: Runtime exited with error: exit status #",
            ),
            (
                "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': "
                "No module named 'requests'",
                "Runtime.ImportModuleError: Unable to import module 'app': "
                "No module named 'requests'",
            ),
            (
                f"{MOMENT}\t{REQUEST}\tERROR\tInvoke Error \t"
                + as_json(errorType="TypeError", errorMessage="x is not a function", stack=[]),
                "TypeError: x is not a function",
            ),
            (
                "java.lang.IllegalStateException: Order 12 is gone\n\tat app.Main",
                "java.lang.IllegalStateException: Order # is gone",
            ),
            (as_json(level="ERROR", message="cannot reach it"), "cannot reach it"),
            (
                as_json(level="ERROR", message="saving failed", exception_name="KeyError"),
                "KeyError: saving failed",
            ),
            (
                as_json(errorType="KeyError", errorMessage="'user_id'", stackTrace=["x"]),
                "KeyError: 'user_id'",
            ),
            (as_json(level="ERROR", message={"order": 1}), "an error without text"),
            (as_json(type="platform.report", record={"status": "timeout"}), "Task timed out"),
            (
                as_json(
                    type="platform.report",
                    record={"status": "error", "errorType": "Runtime.ExitError"},
                ),
                "Runtime.ExitError",
            ),
            ('{"errorType": "KeyError", "errorMessage": "cut off he', "KeyError"),
        ],
    )
    def test_kind_of_error(self, message, expected):
        assert error_pattern(message) == expected

    @pytest.mark.parametrize(
        "message",
        [
            "",
            "all is well",
            "INFO retried after ValueError: x",
            f"REPORT RequestId: {REQUEST} Status: error Error Type: KeyError",
            as_json(level="INFO", message="ERROR budget is fine"),
            # The runtime has logged what the code raised; Lambda's report repeats it.
            as_json(type="platform.report", record={"status": "error", "errorType": "KeyError"}),
            as_json(type="platform.runtimeDone", record={"status": "timeout"}),
            "{}",
            '{"cut',
        ],
    )
    def test_no_error(self, message):
        assert error_pattern(message) is None

    def test_is_cut(self):
        pattern = error_pattern("[ERROR] ValueError: " + "so many words " * 30)

        assert len(pattern) == 120
        assert pattern.endswith("...")

    def test_only_the_first_line_counts(self):
        assert error_pattern("[ERROR] ValueError: one\nsecond line") == "ValueError: one"

    def test_same_error_of_different_requests_is_one_kind(self):
        first = error_pattern(f"[ERROR] OrderError: order 17 of {REQUEST} at 0x7f3a2b1c failed")
        second = error_pattern(
            "[ERROR] OrderError: order 9 of 00000000-1111-2222-3333-444455556667 at 0x7f00000c "
            "failed"
        )

        assert first == second == "OrderError: order # of <id> at <id> failed"


SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP",
    "sk_live_abcdefgh",
    "ghp_abcdefghijklmnop",
    "jane.doe@example.com",
    "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=abcdef",
    "5f4dcc3b5aa765d61d8327deb882cf99",
    "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=",
]


class TestMasking:
    @pytest.mark.parametrize("secret", SECRETS)
    @pytest.mark.parametrize(
        "message",
        [
            "[ERROR] ValueError: got {} instead",
            "[ERROR] KeyError: '{}'",
            "[ERROR]\tcalled with {}",
            '{{"level": "ERROR", "message": "called with {}"}}',
            '{{"errorType": "ClientError", "errorMessage": "called with {}"}}',
            '{{"errorType": "ClientError", "errorMessage": "called with {}',
        ],
    )
    def test_what_looks_like_a_secret_or_a_person(self, message, secret):
        pattern = error_pattern(message.format(secret))

        assert pattern is not None
        assert secret not in pattern
        assert secret[-6:] not in pattern

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("password=correcthorse failed", "password=<masked> failed"),
            ('{"db_password": "correct horse"}', "{db_password=<masked>}"),
            ("API-Key: abc", "API-Key=<masked>"),
            ("refused token hunter2 of x", "refused token <masked> of x"),
            ("Authorization: Bearer abc", "Authorization=<masked> <masked>"),
            ("bad value 'correct horse' here", "bad value '<value>' here"),
            ("bad value 'correct horse", "bad value '<value>'"),
            ('said "it\\"s secret" here', "said '<value>' here"),
            ("card 4111 1111 1111 1111", "card # # # #"),
        ],
    )
    def test_values(self, text, expected):
        assert masked(text, "ValueError") == expected

    @pytest.mark.parametrize(
        "text",
        [
            "An error occurred (ProvisionedThroughputExceededException) when calling it",
            "the token is expired",
            "password not found",
            "can't read it",
            "no index chatSessionId-index on ChatMessage-prod",
        ],
    )
    def test_words_stay(self, text):
        assert masked(text, "ClientError") == text

    def test_a_key_in_quotes_is_told_only_where_it_is_a_name(self):
        assert masked("'user_id'", "KeyError") == "'user_id'"
        assert masked("'user 12'", "KeyError") == "'<value>'"
        assert masked("'user_id'", "ValueError") == "'<value>'"

    @given(st.text(alphabet="ABCDEFabcdef0123456789+/", min_size=40, max_size=60))
    def test_no_long_random_text_gets_through(self, text):
        shown = masked(f"got {text}", "ValueError")

        assert not any(text[i : i + 16] in shown for i in range(len(text) - 15))

    @given(st.text(max_size=300))
    def test_any_message_has_an_answer_that_fits(self, text):
        pattern = error_pattern(f"[ERROR] ValueError: {text}")

        assert pattern is not None
        assert pattern.startswith("ValueError")
        assert len(pattern) <= 120


class Timer:
    """Seconds that pass by each look at them."""

    def __init__(self, step: float = 0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def filtered(calls_of):
    return calls_of("logs", "FilterLogEvents")


def read(timer: Timer | None = None):
    logs = FunctionLogs(clients.client("logs"), timer or Timer())
    return logs.errors(GROUP, start=NOON - timedelta(minutes=15), end=NOON)


def page(*messages: str, more: str | None = None) -> dict:
    found = {"events": [{"message": m} for m in messages]}
    return {**found, "nextToken": more} if more else found


class TestErrors:
    def test_counts_kinds_most_frequent_first_and_keeps_three(self, filtered):
        lines = [f"[ERROR] {name}Error" for name in "DDABCCCC"]
        filtered.will_answer(page(*lines, "calm"))

        found = read()

        assert found.patterns == (
            ErrorPattern(pattern="CError", count=4),
            ErrorPattern(pattern="DError", count=2),
            ErrorPattern(pattern="AError", count=1),
        )
        assert (found.errors, found.complete) == (8, True)

    def test_asks_for_lines_that_may_be_errors_of_that_time(self, filtered):
        filtered.will_answer(page())

        read()

        assert filtered.made == [
            {
                "logGroupName": "/aws/lambda/chat",
                "startTime": 1772451900000,
                "endTime": 1772452800000,
                "filterPattern": FILTER_PATTERN,
                "limit": 1000,
            }
        ]

    def test_an_empty_page_is_not_the_last(self, filtered):
        filtered.will_answer(page(more="a"), page("[ERROR] AError"))

        found = read()

        assert (found.errors, found.complete) == (1, True)
        assert filtered.made[1]["nextToken"] == "a"

    def test_stops_after_five_pages_and_says_so(self, filtered):
        filtered.will_answer(*[page("[ERROR] AError", more=str(n)) for n in range(9)])

        found = read()

        assert (found.errors, found.complete) == (5, False)

    def test_stops_when_time_is_up_and_says_so(self, filtered):
        filtered.will_answer(*[page("[ERROR] AError", more=str(n)) for n in range(9)])

        found = read(Timer(step=4.5))

        assert (found.errors, found.complete) == (2, False)

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("ResourceNotFoundException", TargetNotFoundError),
            ("ThrottlingException", ThrottledError),
        ],
    )
    def test_log_that_cannot_be_read(self, filtered, code, expected):
        filtered.will_fail(code, times=3)

        with pytest.raises(expected):
            read()


WARM = f"REPORT RequestId: {REQUEST}\tDuration: 3.1 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB"
COLD = f"{WARM}\tMax Memory Used: 70 MB\tInit Duration: 812.25 ms\t\n"


class TestReportInit:
    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            (COLD, 812.25),
            (WARM, 0),
            (
                as_json(
                    type="platform.report",
                    record={"metrics": {"durationMs": 3.1, "initDurationMs": 812.25}},
                ),
                812.25,
            ),
            (as_json(type="platform.report", record={"metrics": {"durationMs": 3.1}}), 0),
            # What the application logs is no report of Lambda's.
            (f"told the user: {COLD}", None),
            (as_json(type="platform.initReport", record={"metrics": {}}), None),
            (as_json(type="platform.report", record="x"), None),
            (f"START RequestId: {REQUEST} Version: 7", None),
            ('{"type": "platform.report", "cut', None),
            ("", None),
        ],
    )
    def test_how_an_invocation_started(self, message, expected):
        assert report_init(message) == expected


class TestReports:
    def reports(self) -> Reports:
        logs = FunctionLogs(clients.client("logs"))
        return logs.reports(GROUP, "7", start=NOON - timedelta(minutes=15), end=NOON)

    def test_counts_invocations_and_keeps_what_starts_took(self, filtered):
        filtered.will_answer(page(COLD, WARM, more="a"), page(WARM, "calm"))

        assert self.reports() == Reports(invocations=3, init_milliseconds=(812.25,), complete=True)
        assert filtered.made[0]["filterPattern"] == REPORT_PATTERN

    def test_other_versions_do_not_count(self, filtered):
        streams = ("2026/03/02/[7]aa", "2026/03/02/[6]bb", "2026/03/02/[$LATEST]cc", "my-stream")
        filtered.will_answer(
            {"events": [{"message": COLD, "logStreamName": name} for name in streams]}
        )

        assert self.reports().invocations == 2

    def test_says_when_it_was_not_all(self, filtered):
        filtered.will_answer(*[page(COLD, more=str(n)) for n in range(9)])

        found = self.reports()

        assert (found.invocations, found.complete) == (5, False)


class TestDenials:
    def denials(self):
        logs = FunctionLogs(clients.client("logs"), Timer())
        return logs.denials(GROUP, start=NOON - timedelta(minutes=15), end=NOON)

    def test_events_of_all_pages_are_counted(self, filtered):
        filtered.will_answer(page("AccessDenied", "a", more="a"), page("not authorized"))

        assert self.denials() == 3
        assert filtered.made[0]["filterPattern"] == '?AccessDenied ?"not authorized to perform"'

    def test_function_that_never_logged_was_never_denied(self, filtered):
        filtered.will_fail("ResourceNotFoundException")

        assert self.denials() == 0
