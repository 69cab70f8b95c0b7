"""What is generated and committed is what would be generated now; what is written still holds."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from docs.generate import (
    COMPOSED,
    GENERATORS,
    README,
    RUNBOOKS,
    SINGLE,
    MissingMarkerError,
    composed_machines,
    generate,
    readme,
    runbook_pages,
)
from docs.picture import flowchart
from docs.runbook_page import RunbookPage
from lambdas.oversight.approve import FIELDS
from lambdas.remediation import errors
from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError, RemediationError, TargetNotFoundError
from lambdas.remediation.request import read_request
from local.engine.links import LINKS
from stacks.catalog import ROOT, discover
from tests.estate.rules import PREFIX
from tests.infrastructure.synthesis import synthesise

NAMES = [entry.runbook.name for entry in discover()]
OPERATE, ARCHITECTURE, ENGINE = (
    ROOT / "docs" / f"{name}.md" for name in ("operate", "architecture", "engine")
)
DOCUMENTS = [ROOT / README, *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("folder", GENERATORS, ids=str)
def test_the_committed_files_are_up_to_date(folder):
    pages = GENERATORS[folder]()

    stale = [str(path) for path, text in pages.items() if (ROOT / path).read_text() != text]
    assert stale == [], "run `make docs` and commit what it changes"
    committed = {path.relative_to(ROOT) for path in (ROOT / folder).iterdir()}
    assert committed == set(pages)


def test_the_table_in_the_readme_is_up_to_date():
    committed = (ROOT / README).read_text()

    assert readme(committed) == committed, "run `make docs` and commit what it changes"


@pytest.mark.parametrize("page", SINGLE, ids=str)
def test_the_committed_pages_are_up_to_date(page):
    assert (ROOT / page).read_text() == SINGLE[page](), "run `make docs` and commit what it changes"


def test_the_table_in_the_readme_has_a_line_for_every_runbook():
    table = readme((ROOT / README).read_text())

    for entry in discover():
        assert f"| [{entry.runbook.title}](docs/runbooks/{entry.runbook.name}.md) |" in table


def test_a_readme_that_lost_a_marker_is_not_written():
    whole = (ROOT / README).read_text()
    lost = whole.replace("<!-- /runbooks -->", "")

    with pytest.raises(MissingMarkerError) as refusal:
        readme(lost)
    assert "<!-- /runbooks -->" in str(refusal.value)


def test_every_runbook_has_its_composed_machine():
    assert set(composed_machines()) == {
        COMPOSED / f"{entry.runbook.name}.asl.json" for entry in discover()
    }


def test_a_composed_machine_is_readable_and_keeps_its_tokens():
    text = composed_machines()[COMPOSED / "dynamodb_throttling.asl.json"]

    assert "\n" in text
    assert "${ChangeFunctionArn}" in text
    assert json.loads(text)["States"]["ChooseMode"]["Default"] == "BumpCapacity"


def test_what_no_runbook_gives_any_more_is_deleted(tmp_path):
    for folder, name in ((COMPOSED, "gone.asl.json"), (RUNBOOKS, "gone.md")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_text("{}")

    generate(tmp_path)

    for folder, generator in GENERATORS.items():
        written = {path.relative_to(tmp_path) for path in (tmp_path / folder).iterdir()}
        assert written == set(generator())
    assert (tmp_path / README).read_text() == (ROOT / README).read_text()


# --- the page of a runbook ---


@pytest.fixture(scope="module")
def pages():
    return {path.stem: text for path, text in runbook_pages().items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_answers_everything_in_the_same_order(pages, name):
    headings = re.findall(r"^## (.+)$", pages[name], re.MULTILINE)

    optional = {"How it decides", "Options"}
    assert [h for h in headings if h not in optional] == [
        "What starts it",
        "Prerequisites",
        "The machine",
        "What it changes",
        "Limits",
        "Verification",
        "Undo",
        "Start it by hand",
        "Deviations from the operations runbook",
        "What was tested",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_every_alarm_state_step_limit_and_deviation(subjects, pages, name):
    subject = subjects[name]
    runbook = subject.entry.runbook
    wanted = [
        *(f"- `{alarm.name}`" for alarm in runbook.alarms(subject.platform, PREFIX)),
        *(f"| `{state}` | " for state in subject.states),
        *(f"| `{step}` | {info.role} |" for step, info in subject.entry.steps.items()),
        *(f"| `{f.name}` | {f.default:,} |" for f in dataclasses.fields(runbook.limits)),
        *(f"| `{option}` | " for option in runbook.options),
        *(f"- {deviation}\n" for deviation in runbook.deviations),
    ]

    assert [text for text in wanted if text not in pages[name]] == []


def test_a_page_shows_bounds_meaning_and_what_the_platform_file_sets(pages):
    assert (
        "| `max_capacity_units` | 4,000 | 1 to 40,000 | **1,000** | "
        "highest read or write capacity this runbook sets |"
    ) in pages["dynamodb_throttling"]


def test_a_page_tells_what_the_decisions_refuse(pages):
    assert "Nothing was throttled during the look-back;" in pages["dynamodb_throttling"]


def test_a_runbook_that_cannot_be_undone_says_so(subjects):
    subject = subjects["dynamodb_throttling"]
    runbook = dataclasses.replace(subject.entry.runbook, reversible=False, deviations=())
    page = RunbookPage(
        dataclasses.replace(subject.entry, runbook=runbook),
        machine=subject.machine,
        platform=subject.platform,
        prefix=PREFIX,
    ).text()

    assert "## Undo\n\nNone: what it does cannot be taken back, so it asks first.\n" in page
    assert "## Deviations from the operations runbook\n\nNone.\n" in page


def test_undo_of_what_changes_nothing_itself_is_that_of_its_runbooks(pages):
    undo = pages["system_outage"].partition("## Undo\n\n")[2].partition("\n\n## ")[0]

    assert undo == (
        "That of the runbooks that it started: their runs did the changes. Each message has the "
        "command, and an undo by the id of this run is refused with it."
    )
    (line,) = re.findall(r"^\| \[System outage\].*$", readme((ROOT / README).read_text()), re.M)
    assert "| that of the runbooks it started |" in line


def test_a_page_says_how_long_a_run_may_take(pages):
    assert (
        "- Takes at most 10 h 20 min with all its waits; "
        "where it asks for a yes, 4 h more for that."
    ) in pages["deploy_infrastructure"]


def test_only_what_measures_speaks_of_calm_and_traffic(pages):
    calm = {name for name, text in pages.items() if " of calm" in text}
    traffic = {name for name, text in pages.items() if " periods of traffic" in text}

    assert traffic == {
        "api_gateway_errors",
        "dynamodb_throttling",
        "lambda_errors",
        "optimize_cold_starts",
        "review_iam_permissions",
        "system_outage",
        "update_lambda_code",
        "update_lambda_environment",
    }
    assert calm - traffic == {"deploy_infrastructure", "rotate_api_key"}
    assert "Here: at most 3 looks. After that nobody watches: " in pages["create_user"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_the_command_that_says_yes(pages, name):
    (given,) = [
        g for machine, g in started(pages[name]) if machine.endswith(":remediation-approve")
    ]

    assert set(given) == set(FIELDS)
    assert (given["run_id"], given["plan_hash"]) == ("<run id>", "<plan hash>")


def test_where_nothing_may_be_proposed_nothing_is_approved(subjects):
    subject = subjects["dynamodb_throttling"]
    page = RunbookPage(
        subject.entry,
        machine=subject.machine,
        platform=dataclasses.replace(subject.platform, mode=Mode.OBSERVE),
        prefix=PREFIX,
    ).text()

    assert "remediation-approve" not in page.partition("## Start it by hand")[2]


def prepared(name: str, pages: dict[str, str]) -> list[list[str]]:
    """Words of each AWS command that a page shows before its example."""
    by_hand = pages[name].partition("## Start it by hand\n\n")[2].partition("\n\nConsole: ")[0]
    (block,) = re.findall(r"```bash\n(.+?)```", by_hand, re.DOTALL)
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("aws ")]


@pytest.mark.parametrize(
    "name",
    ["create_user", "deploy_infrastructure", "update_lambda_code", "update_lambda_environment"],
)
def test_what_an_example_needs_first_is_made_by_commands_that_aws_has(pages, name):
    (_, service, operation, *words), *others = prepared(name, pages)

    model = botocore.session.get_session().get_service_model(service.removesuffix("api"))
    by_command = {xform_name(o).replace("_", "-"): o for o in model.operation_names}
    shape = model.operation_model(by_command[operation]).input_shape
    options = {f"--{xform_name(member).replace('_', '-')}": member for member in shape.members}
    given = {options.get(word, word) for word in words if word.startswith("--")}
    assert given - {"--query", "--output"} <= set(shape.members)
    assert set(shape.required_members) <= given
    # All that is left of the placeholders would be one that the platform file does not fill.
    assert not re.search(r"<\w+>", " ".join(words))
    assert [other[2] for other in others] in ([], ["wait"])


def test_what_an_example_needs_first_is_made_where_the_runbook_looks_for_it(pages):
    (put,) = prepared("update_lambda_code", pages)

    assert put[3:7] == [
        "--bucket",
        "energy-insights-artifacts",
        "--key",
        "chat-lambda/2026-03-02.zip",
    ]
    assert '"key": "chat-lambda/2026-03-02.zip"' in pages["update_lambda_code"]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_on_a_page_is_accepted_and_only_looks(subjects, pages, name):
    subject = subjects[name]
    (pasted,) = re.findall(r"```json\n(.+?)\n```", pages[name], re.DOTALL)

    request = read_request(subject.entry.runbook, subject.platform, PREFIX, json.loads(pasted))

    assert request.mode.value == "observe"
    assert json.loads(pasted) in [given for _, given in started(pages[name])]


def test_the_picture_of_a_machine():
    machine = {
        "States": {
            "Look": {
                "Type": "Task",
                "Arguments": {"FunctionName": "${ObserveFunctionArn}"},
                "Catch": [{"Next": "Finish"}],
                "Next": "Choose",
            },
            "Choose": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $tries < $run.limits.most %}", "Next": "Rest"}],
                "Default": "Turn",
            },
            "Rest": {"Type": "Wait", "Next": "Look"},
            "Turn": {
                "Type": "Task",
                "Arguments": {"FunctionName": "${ChangeFunctionArn}"},
                "Catch": [{"Next": "Finish"}, {"Next": "RollBack"}],
                "Next": "Finish",
            },
            "RollBack": {
                "Type": "Task",
                "Arguments": {"FunctionName": "${ChangeFunctionArn}"},
                "Next": "Finish",
            },
            "Finish": {"Type": "Succeed"},
        }
    }

    assert flowchart(machine).splitlines() == [
        "flowchart TD",
        '    Look["Look"]',
        '    Choose{"Choose"}',
        '    Rest(["Rest"])',
        '    Turn["Turn"]',
        '    RollBack["RollBack"]',
        '    Finish(("Finish"))',
        "    Look --> Choose",
        '    Choose -->|"tries #lt; most"| Rest',
        '    Choose -->|"otherwise"| Turn',
        "    Rest --> Look",
        "    Turn --> Finish",
        '    Turn -.->|"error"| RollBack',
        "    RollBack --> Finish",
        "    classDef changes fill:#ffd8a8,stroke:#b35900,color:#000",
        "    class Turn,RollBack changes",
    ]


# --- what is written by hand ---


def started(text: str) -> list[tuple[str, object]]:
    """Machine and input of each `start-execution` in a document's shell blocks."""
    found = []
    for block in re.findall(r"```bash\n(.+?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if "start-execution" not in line:
                continue
            words = shlex.split(line)
            machine = words[words.index("--state-machine-arn") + 1]
            given = words[words.index("--input") + 1]
            if not given.startswith("file:"):
                found.append((machine, json.loads(given)))
    return found


def accepted(subjects, given: object) -> None:
    subject = subjects["dynamodb_throttling"]
    read_request(subject.entry.runbook, subject.platform, PREFIX, given)


@pytest.mark.parametrize("document", [README, OPERATE.relative_to(ROOT)], ids=str)
def test_the_inputs_in_the_commands_are_accepted(subjects, document):
    commands = started((ROOT / document).read_text())

    assert commands
    for machine, given in commands:
        if machine == "$APPROVE_MACHINE_ARN":
            assert set(given) == set(FIELDS)
        else:
            accepted(subjects, given)


def test_the_inputs_in_the_readme_are_answered_as_it_says(subjects):
    table = (ROOT / README).read_text().partition("word for word |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\{.*?\})`.*? \| `(\w+)`(?:, held)?: (.*) \|$", table, re.MULTILINE)
    answers = {}
    for given, outcome, reason in rows:
        try:
            accepted(subjects, json.loads(given))
        except (InvalidRequestError, TargetNotFoundError) as error:
            answers[given] = (outcome, str(error).startswith(reason.partition("Try:")[0]))

    assert len(rows) == 8
    assert list(answers.values()) == [("refused", True)] * 4


def test_the_sections_that_alarms_and_messages_name_are_there(tmp_path):
    alarms = synthesise(tmp_path / "cdk.out").alarms()
    text = OPERATE.read_text()
    headings = set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    own = {
        name: alarm["AlarmDescription"].partition("see docs/operate.md, ")[2]
        for name, alarm in alarms.items()
        if "docs/operate.md" in alarm["AlarmDescription"]
    }
    code = "".join(path.read_text() for path in (ROOT / "lambdas").rglob("*.py"))
    in_messages = set(re.findall(r"docs/operate\.md, ([A-Z][a-z ]+)\)", code))

    assert len(own) == 5
    assert in_messages == {"Breaker", "Kill switch", "Quarantine", "Stop one run"}
    assert ({*own.values()} | in_messages) - headings == set()
    for name, section in own.items():
        assert f"## {section}\n\nAlarm `{name}`: " in text


def test_the_architecture_lists_every_error_and_every_item_of_the_run_table():
    text = ARCHITECTURE.read_text()
    leaves = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type)
        and issubclass(kind, RemediationError)
        and not kind.__subclasses__()
    ]
    records = (ROOT / "lambdas/remediation/records.py").read_text()
    items = re.findall(r"^\| `([A-Z]+)[#`]", records, re.MULTILINE)

    assert len(leaves) > 10
    assert [e for e in leaves if f"`{e}`" not in text] == []
    assert len(items) == 11
    assert [i for i in items if not re.search(rf"\| `{i}[#`]", text)] == []


def test_every_link_of_the_engine_is_listed():
    text = ENGINE.read_text()
    names = [link.__name__.rpartition(".")[2] for link in LINKS]

    assert [n for n in names if text.count(f"| [`{n}`](../local/engine/{n}.py) |") != 1] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)]+)\)", document.read_text())
    broken = [t for t in targets if not t.startswith("https://") and not leads(document, t)]

    assert broken == []


def leads(document: Path, target: str) -> bool:
    """Whether a relative link names a file that is there, with the heading it names."""
    path, _, heading = target.partition("#")
    found = (document.parent / path).resolve() if path else document
    if not found.exists():
        return False
    headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE) if heading else []
    return not heading or heading in [
        re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings
    ]
