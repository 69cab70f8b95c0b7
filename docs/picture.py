"""A state machine as a Mermaid flowchart, which GitHub draws."""

import re
from collections.abc import Iterator
from typing import Any

State = dict[str, Any]
Edge = tuple[str, str, str, str]  # from, arrow, label, to

CHANGE_TOKEN = "${ChangeFunctionArn}"  # noqa: S105 - a substitution, not a secret
SHAPES = {
    "Choice": '{{"{0}"}}',
    "Wait": '(["{0}"])',
    "Succeed": '(("{0}"))',
    "Fail": '(("{0}"))',
}
RECTANGLE = '["{0}"]'


def flowchart(machine: State) -> str:
    """Mermaid text of a machine.

    Notes
    -----
    Not drawn: errors that go to `Finish`, which every state before it has. Dashed: other errors.
    """
    states = machine["States"]
    lines = ["flowchart TD"]
    lines += [f"    {name}{_shape(name, state)}" for name, state in states.items()]
    drawn: set[tuple[str, str]] = set()
    for name, state in states.items():
        for edge in _edges(name, state):
            source, arrow, label, target = edge
            if (source, target) in drawn:
                continue
            drawn.add((source, target))
            lines.append(f"    {source} {arrow}{label} {target}")
    changing = ",".join(n for n, s in states.items() if changes(s))
    lines.append("    classDef changes fill:#ffd8a8,stroke:#b35900,color:#000")
    lines.append(f"    class {changing} changes")
    return "\n".join(lines)


def changes(state: State) -> bool:
    """Whether a state calls the function that may change the platform."""
    return bool(state.get("Arguments", {}).get("FunctionName") == CHANGE_TOKEN)


def _shape(name: str, state: State) -> str:
    return SHAPES.get(state["Type"], RECTANGLE).format(name)


def _edges(name: str, state: State) -> Iterator[Edge]:
    for choice in state.get("Choices", []):
        yield name, "-->", f'|"{_words(choice["Condition"])}"|', choice["Next"]
    if "Default" in state:
        yield name, "-->", '|"otherwise"|', state["Default"]
    if "Next" in state:
        yield name, "-->", "", state["Next"]
    for catch in state.get("Catch", []):
        if catch["Next"] != "Finish":
            yield name, "-.->", '|"error"|', catch["Next"]


def _words(condition: str) -> str:
    """A JSONata condition without its wrapping, safe in a Mermaid label."""
    text = re.sub(r"\$(?:run\.limits\.)?(?=\w)", "", condition.strip("{% }"))
    return text.replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
