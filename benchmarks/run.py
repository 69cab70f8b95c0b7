"""`make bench`: one table of what is promised and what is measured here and now."""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cost, import_cost, synthesis
from stacks.catalog import ENVELOPE, discover, machine
from stacks.composition import CHANGE_TOKEN
from stacks.config import PlatformConfig

IMPORT_TARGET, CLIENT_TARGET, SYNTH_TARGET = 6.5, 24.0, 3.0
RUN_TARGET_USD = 0.01
FIRST_CHANGE_STATES, FIRST_CHANGE_FUNCTIONS = 4, 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table; `met` is None where nothing is promised."""

    what: str
    target: str = ""
    measured: str
    met: bool | None = None


def _ratio(what: str, measured: float, target: float | None = None) -> Row:
    return Row(
        what=what,
        target="" if target is None else f"<= {target:.1f}x",
        measured=f"{measured:.1f}x",
        met=None if target is None else measured <= target,
    )


def import_rows(product: synthesis.Product, folder: Path) -> Iterator[Row]:
    """Import cost of every function."""
    for name, measured in import_cost.ratios(product, folder).items():
        target = None
        if name.endswith("+ client"):
            target = CLIENT_TARGET
        elif name in product.handler_modules:
            target = IMPORT_TARGET
        yield _ratio(name.removeprefix("lambdas."), measured, target)


def synthesis_rows(measured: dict[str, float]) -> Iterator[Row]:
    """`cdk synth`."""
    yield _ratio("cdk synth, validation off", measured[synthesis.PRODUCT], SYNTH_TARGET)
    yield _ratio("cdk synth, every check on", measured[synthesis.CHECKED])


def cost_rows(product: synthesis.Product) -> Iterator[Row]:
    """USD, and what stands between an alarm and the first change."""
    found = cost.idle(product.resources)
    formula = 0.10 * found.alarm_metrics + 0.50 * found.composite_alarms + 1.00 * found.keys
    yield Row(
        what=f"idle month: {found.alarm_metrics} alarm metrics, {found.composite_alarms} composite "
        f"alarms, {found.keys} key, {found.dashboards} dashboard (3 are free)",
        target=f"USD {formula:.2f}",
        measured=f"USD {found.usd:.2f}",
        met=found.usd <= formula + 0.005,
    )
    yield Row(
        what="the sweep for a month, if no free tier covers it",
        measured=f"USD {cost.sweep_usd_per_month():.2f}",
    )
    yield from _run_rows()


def _run_rows() -> Iterator[Row]:
    entries = discover()
    platform = PlatformConfig.read(
        synthesis.ROOT / "platform.json", [entry.runbook for entry in entries]
    ).platform
    for entry in entries:
        limits = entry.runbook.limits_for(platform).as_dict()
        composed = cost.machine_of(entry, machine(ENVELOPE), limits)
        name = entry.runbook.name
        for last_pass, when in ((False, "first look"), (True, "last poll of every loop")):
            children = bool(entry.runbook.children)
            run = cost.run(composed, limits, children=children, last_pass=last_pass)
            yield Row(
                what=f"{name}, healed at the {when}: at most {run.transitions} transitions, "
                f"{run.invocations} invocations",
                target=f"<= USD {RUN_TARGET_USD}",
                measured=f"USD {run.usd:.4f}",
                met=run.usd <= RUN_TARGET_USD,
            )
        # What has no states of its own changes nothing itself.
        if entry.runbook.triggers and entry.states["States"]:
            path = cost.first_change(composed, CHANGE_TOKEN, set(entry.states["States"]))
            functions = {
                composed["States"][state]["Arguments"]["FunctionName"]
                for state in path
                if composed["States"][state]["Type"] == "Task"
            }
            yield Row(
                what=f"{name}, event to first changing call: {' > '.join(path)}",
                target=f"{FIRST_CHANGE_STATES} states, {FIRST_CHANGE_FUNCTIONS} functions",
                measured=f"{len(path)} states, {len(functions)} functions",
                met=(len(path), len(functions)) == (FIRST_CHANGE_STATES, FIRST_CHANGE_FUNCTIONS),
            )


def table(rows: list[Row]) -> str:
    """Rows as aligned text."""
    marks = {True: "ok", False: "over", None: ""}
    lines = [("what", "target", "measured", "")]
    lines += [(row.what, row.target, row.measured, marks[row.met]) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def main() -> None:
    """Measure and print; a missed target is shown, not an error: a busy machine is no defect."""
    print("Measuring, in turns, for about two minutes ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        product, measured = synthesis.ratios(folder)
        rows = [
            *import_rows(product, folder),
            *synthesis_rows(measured),
            *cost_rows(product),
        ]
    print(
        f"Ratios of CPU time, medians of one interleaved run: imports to bare Python "
        f"{sys.version.split()[0]}, synth\nto an empty Python CDK app. USD: us-east-1, no free "
        "tier.\n"
    )
    print(table(rows))


if __name__ == "__main__":
    main()
