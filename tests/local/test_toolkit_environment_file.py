import json
import os
import subprocess

import pytest

from local.toolkit.environment_file import environment_text, write_environment_file
from local.toolkit.inbox import notification
from local.toolkit.workspace import WorkspaceInUseError, claimed_workspace


def test_a_shell_reads_every_value_as_it_is(tmp_path):
    path = tmp_path / "folder" / "env"
    text = environment_text(
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        {"OperatorTopicArn": "arn:with space'quote"},
        {"remediation-dynamodb-throttling": "arn:machine"},
    )
    write_environment_file(path, text)

    shown = subprocess.run(
        ["sh", "-c", f". {path}; env"],
        env={"AWS_PROFILE": "production", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert "AWS_ENDPOINT_URL=http://127.0.0.1:1" in shown
    assert "OPERATOR_TOPIC_ARN=arn:with space'quote" in shown
    assert "DYNAMODB_THROTTLING_MACHINE_ARN=arn:machine" in shown
    assert not any(line.startswith("AWS_PROFILE=") for line in shown)


def test_second_local_run_is_refused_with_the_first_ones_process_id(tmp_path):
    with claimed_workspace(tmp_path):
        pass  # an earlier run has left its id behind

    with (
        claimed_workspace(tmp_path),
        pytest.raises(WorkspaceInUseError) as caught,
        claimed_workspace(tmp_path),
    ):
        pass

    assert f"process {os.getpid()}:" in str(caught.value)
    with claimed_workspace(tmp_path) as free_again:
        assert free_again == tmp_path


def test_notification_is_read_from_the_envelope_of_sns():
    body = json.dumps(
        {
            "Subject": "s",
            "Message": "m",
            "MessageAttributes": {"outcome": {"Type": "String", "Value": "verified"}},
        }
    )

    received = notification(body)

    assert (received.subject, received.text) == ("s", "m")
    assert received.attributes == {"outcome": "verified"}
    assert notification('{"Message": "m", "Subject": null}').subject == ""
