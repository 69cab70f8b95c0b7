"""CloudWatch Logs filters events by the grammar of its filter patterns for plain text.

MiniStack compares without regard to case, splits phrases at blanks, takes brackets for wildcards
(so ``"[ERROR]"`` matches every event) and knows no ``?``. Here: terms and quoted phrases must
all be in an event, one of the ``?`` terms must be, none of the ``-`` terms may be; case counts.
Patterns for JSON (``{``) and for columns (``[``) are left to MiniStack, which lets everything pass.

Source: "Filter pattern syntax for metric filters, subscription filters, filter log events, and
Live Tail" (Amazon CloudWatch Logs User Guide).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ministack.services import cloudwatch_logs

PATCHES: tuple[str, ...] = ("ministack.services.cloudwatch_logs._compile_filter_pattern",)

_TERM = re.compile(r'([?+-]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))')


def install() -> None:
    """Take the place of MiniStack's reading of plain text patterns."""
    compile_other = cloudwatch_logs._compile_filter_pattern

    def compile_pattern(raw: str) -> Callable[[str], bool]:
        pattern = (raw or "").strip()
        if not pattern or pattern[0] in "{[":
            matcher: Callable[[str], bool] = compile_other(raw)
            return matcher
        return matcher_of(pattern)

    cloudwatch_logs._compile_filter_pattern = compile_pattern


def matcher_of(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether an event matches a plain text pattern."""
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    for sign, phrase, word in _TERM.findall(pattern):
        terms[sign.replace("+", "")].append(re.sub(r"\\(.)", r"\1", phrase) or word)

    def matches(message: str) -> bool:
        if any(term in message for term in terms["-"]):
            return False
        # Beside terms of the other kinds, optional ones say nothing.
        if terms["?"] and not terms[""] and not terms["-"]:
            return any(term in message for term in terms["?"])
        return all(term in message for term in terms[""])

    return matches
