"""Plain text for an 80-column terminal: headings, lines, and steps that show they are alive."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

WIDTH = 78
_TICK_SECONDS = 1.0
_RESULT_COLUMN = 66
_COLOURS = {"green": "32", "red": "31", "yellow": "33", "bold": "1", "dim": "2"}


class Console:
    """Writes a run's story. At most one step is open; a line in between closes it visibly.

    Parameters
    ----------
    stream
        Where to write; standard output when not given.
    colour
        Use colours; when not given, only on a terminal and unless ``NO_COLOR`` is set.
    """

    def __init__(self, stream: TextIO | None = None, *, colour: bool | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colour = _is_terminal(self._stream) if colour is None else colour
        self._lock = threading.RLock()
        self._open = False
        self._column = 0

    def heading(self, text: str) -> None:
        """Start a section."""
        self._write_line("")
        self._write_line(self.styled(text, "bold"))

    def line(self, text: str = "", *, style: str | None = None) -> None:
        """Write one line as it is."""
        self._write_line(self.styled(text, style))

    def paragraph(self, text: str, *, indent: str = "  ", style: str | None = None) -> None:
        """Write text wrapped to the width; line breaks, indents and long words stay as they are."""
        for part in text.splitlines():
            lead = indent + part[: len(part) - len(part.lstrip())]
            wrapped = textwrap.wrap(
                part.strip(),
                WIDTH,
                initial_indent=lead,
                subsequent_indent=lead,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for line in wrapped or [lead.rstrip()]:
                self._write_line(self.styled(line, style))

    def command(self, text: str, *, indent: str = "    ", style: str | None = None) -> None:
        """Write a shell command, continued over lines so that it can be pasted."""
        for line in continued(text, WIDTH - len(indent)):
            self._write_line(indent + self.styled(line, style))

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Show a step with its seconds; dots grow once a second while it takes."""
        started = time.monotonic()
        self.begin(label)
        try:
            with self.alive():
                yield
        except BaseException:
            self.end("failed", style="red")
            raise
        self.end(f"{time.monotonic() - started:6.1f} s")

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Let the open step grow a dot every second, so that no wait is silent."""
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(_TICK_SECONDS):
                self._dot()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()

    def begin(self, label: str) -> None:
        """Open a step: its label, without the end of the line."""
        with self._lock:
            self._break()
            self._write(f"  {label} ")
            self._open = True

    def end(self, result: str, *, style: str | None = None) -> None:
        """Close the open step with its result, right of the dots."""
        with self._lock:
            if not self._open:
                self._write(" " * 4)
            dots = max(_RESULT_COLUMN - self._column, 0)
            self._write(self.styled("." * dots, "dim"), width=dots)
            self._write(" " + self.styled(result, style))
            self._open = False
            self._newline()

    def styled(self, text: str, style: str | None) -> str:
        """Text in a style, or as it is where there are no colours."""
        if not style or not self._colour or not text:
            return text
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m"

    def _dot(self) -> None:
        with self._lock:
            if not self._open:
                return
            if self._column >= _RESULT_COLUMN:
                self._newline()
                self._write(" " * 4)
            self._write(self.styled(".", "dim"), width=1)

    def _write_line(self, text: str) -> None:
        with self._lock:
            self._break()
            self._write(text)
            self._newline()

    def _break(self) -> None:
        if self._open:
            self._open = False
            self._newline()

    def _newline(self) -> None:
        self._stream.write("\n")
        self._stream.flush()
        self._column = 0

    def _write(self, text: str, *, width: int | None = None) -> None:
        self._stream.write(text)
        self._stream.flush()
        self._column += len(text) if width is None else width


def continued(command: str, width: int) -> list[str]:
    """Break a shell command between its words, with a backslash at the end of a broken line.

    A word that is longer than the width stays whole.
    """
    lines: list[str] = []
    for word in _words(command):
        if lines and len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word if not lines else f"  {word}")
    return [*(f"{line} \\" for line in lines[:-1]), *lines[-1:]]


def _words(command: str) -> list[str]:
    """Split at blanks outside quotes, and keep the quotes as they are."""
    return re.findall(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""", command)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
