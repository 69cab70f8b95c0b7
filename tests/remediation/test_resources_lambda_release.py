"""Releases: code, versions and the alias, each only as the plan knows it."""

import dataclasses

import pytest

from lambdas.remediation import changes, clients
from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    TargetNotFoundError,
)
from lambdas.remediation.resources.lambda_release import (
    CodeStorage,
    LambdaReleases,
    publish,
    update_code,
)
from tests.remediation.release_service import FUNCTION_ARN, ONE, TWO, ReleaseService

LOCATION = {"S3Bucket": "packages", "S3Key": "chat/2.zip", "S3ObjectVersion": "v2"}
PUBLISH = publish(FUNCTION_ARN, release="run:one", code_sha256=TWO)
MOVE = PlannedCall(
    api="lambda:UpdateAlias",
    resource=f"{FUNCTION_ARN}:live",
    arguments={"RevisionId": "a1"},
    before={"FunctionVersion": "7", "AdditionalVersionWeights": {}},
    after={"FunctionVersion": "release:run:one", "AdditionalVersionWeights": {}},
)
CANARY = dataclasses.replace(
    MOVE, after={"FunctionVersion": "7", "AdditionalVersionWeights": {"release:run:one": 0.1}}
)


@pytest.fixture
def service(aws) -> ReleaseService:
    return ReleaseService(clients.client("lambda"))


@pytest.fixture
def releases(service) -> LambdaReleases:
    return LambdaReleases(clients.client("lambda"))


@pytest.fixture
def update(releases) -> PlannedCall:
    return update_code(
        FUNCTION_ARN,
        before=releases.configuration("chat"),
        location=LOCATION,
        code_sha256=TWO,
    )


def released(service: ReleaseService) -> None:
    """The run has published version 8."""
    service.touch(CodeSha256=TWO)
    service.versions["8"] = {**service.versions["7"], "Version": "8", "CodeSha256": TWO}
    service.versions["8"]["Description"] = "run:one"


def where(call: PlannedCall, releases: LambdaReleases) -> changes.Position:
    return changes.position(call, (releases,))


def test_code_is_updated_from_the_named_version_of_the_package(service, releases, update):
    assert where(update, releases) is changes.Position.BEFORE
    releases.apply(update)

    assert where(update, releases) is changes.Position.AFTER
    assert service.asked("UpdateFunctionCode") == {
        "FunctionName": "chat",
        "Publish": False,
        **LOCATION,
        "RevisionId": "1",
    }


def test_code_that_somebody_has_touched_is_not_updated(service, releases, update):
    service.touch(MemorySize=256)

    with pytest.raises(ConcurrentChangeError):
        releases.apply(update)
    assert service.latest["CodeSha256"] == ONE


def test_publishes_the_planned_code_named_by_the_run(service, releases):
    service.touch(CodeSha256=TWO)
    assert where(PUBLISH, releases) is changes.Position.BEFORE
    releases.apply(PUBLISH)

    assert where(PUBLISH, releases) is changes.Position.AFTER
    assert service.asked("PublishVersion") == {
        "FunctionName": "chat",
        "CodeSha256": TWO,
        "Description": "run:one",
        "RevisionId": "1+",
    }
    assert releases.version_of("chat", "release:run:one") == "8"


def test_other_code_is_not_published(service, releases):
    with pytest.raises(ChangeFailedError):
        releases.apply(PUBLISH)
    assert list(service.versions) == ["7"]


def test_a_function_that_was_touched_since_it_was_looked_at_is_not_published(service, releases):
    service.touch(CodeSha256=TWO)
    seen = dataclasses.replace(PUBLISH, arguments={"CodeSha256": TWO, "RevisionId": "1"})

    with pytest.raises(ConcurrentChangeError):
        releases.apply(seen)
    assert list(service.versions) == ["7"]


def test_lambda_that_answers_with_its_last_version_has_published_nothing(releases):
    with pytest.raises(ChangeFailedError) as caught:
        releases.apply(publish(FUNCTION_ARN, release="run:one", code_sha256=ONE))

    assert "Lambda published no new version" in str(caught.value)


def test_the_alias_moves_to_the_version_of_the_run_and_back(service, releases):
    released(service)
    releases.apply(MOVE)
    served, position = service.served, where(MOVE, releases)
    releases.apply(MOVE.inverse())

    assert (served, position) == (("8", {}), changes.Position.AFTER)
    assert (service.served, where(MOVE, releases)) == (("7", {}), changes.Position.BEFORE)


def test_a_canary_is_neither_before_nor_after_the_move(service, releases):
    released(service)
    releases.apply(CANARY)

    assert service.served == ("7", {"8": 0.1})
    assert where(CANARY, releases) is changes.Position.AFTER
    assert where(MOVE, releases) is changes.Position.ELSEWHERE


def test_a_version_of_somebody_else_keeps_its_number(service, releases):
    released(service)
    service.versions["9"] = {**service.versions["8"], "Version": "9", "Description": "theirs"}
    service.point("9")

    assert releases.present(MOVE) == {"FunctionVersion": "9", "AdditionalVersionWeights": {}}
    with pytest.raises(ConcurrentChangeError):
        releases.apply(MOVE)
    assert service.served == ("9", {})


def test_an_alias_that_was_touched_without_moving_is_left_alone(service, releases):
    released(service)
    service.point("7")

    with pytest.raises(ConcurrentChangeError):
        releases.apply(MOVE)
    assert service.served == ("7", {})


def test_a_release_that_is_not_published_is_not_found(releases):
    with pytest.raises(TargetNotFoundError) as caught:
        releases.version_of("chat", "release:run:one")

    assert str(caught.value) == "function chat: there is no version of release:run:one"


def test_drift_names_what_differs_and_shows_no_value(service, releases):
    service.touch(MemorySize=256, Environment={"Variables": {"MODE": "hunter2", "KEPT": "kept"}})

    assert releases.drift("chat", "7") == ("Environment.MODE", "MemorySize")


def test_a_version_described_otherwise_does_not_drift(service, releases):
    service.versions["7"]["Description"] = "run:zero"

    assert releases.drift("chat", "7") == ()


def test_the_newest_version_is_the_highest_number(service, releases):
    service.versions["10"] = service.versions["7"] | {"Version": "10"}
    service.versions["9"] = service.versions["7"] | {"Version": "9"}

    assert releases.newest("chat") == "10"


def test_code_storage(releases):
    assert releases.code_storage() == CodeStorage(used_bytes=1_000, limit_bytes=80_530_636_800)
