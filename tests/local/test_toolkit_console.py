import io
import shlex
import time

import pytest

from local.toolkit.console import WIDTH, Console, continued


@pytest.fixture
def stream():
    return io.StringIO()


def test_step_is_one_line_with_its_result_in_a_column(stream):
    console = Console(stream)

    with console.step("deploy"):
        pass

    (line,) = stream.getvalue().splitlines()
    assert line.startswith("  deploy ....")
    assert line.endswith(" 0.0 s")
    assert len(line) <= 80


def test_step_that_fails_says_so_and_raises(stream):
    console = Console(stream)

    with pytest.raises(ValueError, match="broken"), console.step("deploy"):
        raise ValueError("broken")

    assert stream.getvalue().endswith(" failed\n")


def test_line_closes_an_open_step(stream):
    console = Console(stream)

    console.begin("Verify")
    console.line("something else")

    assert stream.getvalue() == "  Verify \nsomething else\n"


def test_open_step_shows_that_it_is_alive(stream, monkeypatch):
    monkeypatch.setattr("local.toolkit.console._TICK_SECONDS", 0.001)
    console = Console(stream)
    console.begin("waiting")

    with console.alive():
        while stream.getvalue().count(".") < 3 * WIDTH:
            pass
    console.end("done")

    lines = stream.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].endswith("done")


def test_nothing_is_written_while_no_step_is_open(stream, monkeypatch):
    monkeypatch.setattr("local.toolkit.console._TICK_SECONDS", 0.001)
    console = Console(stream)

    with console.alive():
        console.line("idle")
        time.sleep(0.02)

    assert stream.getvalue() == "idle\n"


def test_colours_only_where_asked_for(stream):
    Console(stream).line("plain", style="green")
    Console(stream, colour=True).line("green", style="green")

    assert stream.getvalue() == "plain\n\x1b[32mgreen\x1b[0m\n"


def test_paragraph_keeps_breaks_indents_and_long_words(stream):
    word = "arn:" + "x" * 90
    Console(stream).paragraph(f"{'few words ' * 12}\n\n  - inner\n{word}", indent="| ")

    lines = stream.getvalue().splitlines()
    assert all(line.startswith("|") and len(line) <= WIDTH for line in lines[:-1])
    assert lines[-3:] == ["|", "|   - inner", f"| {word}"]


def test_continued_command_is_the_same_command():
    command = (
        'aws stepfunctions start-execution --state-machine-arn "$MACHINE ARN" '
        """--input '{"target": {"table_name": "ChatMessage-prod"}, "mode": "observe"}'"""
    )

    lines = continued(command, 60)

    assert len(lines) > 1
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)


def test_short_command_stays_on_one_line():
    assert continued("aws sts get-caller-identity", 60) == ["aws sts get-caller-identity"]
