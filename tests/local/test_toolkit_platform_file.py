import json

import pytest

from local.sample_platform import names
from local.toolkit.platform_file import (
    BASE,
    PROCEDURES,
    PROFILE,
    merged,
    with_api_id,
    write_platform_file,
)


def test_merges_objects_key_by_key_at_every_depth():
    base = {"runbooks": {"a": {"mode": "act", "limits": {"x": 1, "y": 2}}}, "name": "p"}
    overlay = {"runbooks": {"a": {"limits": {"y": 3, "z": 4}}, "b": {}}}

    result = merged(base, overlay)

    assert result == {
        "runbooks": {"a": {"mode": "act", "limits": {"x": 1, "y": 3, "z": 4}}, "b": {}},
        "name": "p",
    }


@pytest.mark.parametrize(
    ("below", "above"),
    [([1, 2], [3]), ({"x": 1}, [3]), ([1], {"x": 1}), ({"x": 1}, None), (1, {"x": 1})],
)
def test_replaces_everything_that_is_not_two_objects(below, above):
    assert merged({"key": below}, {"key": above}) == {"key": above}


def test_changes_neither_argument():
    base = {"limits": {"x": 1}}
    overlay = {"limits": {"x": 2}}

    merged(base, overlay)["limits"]["x"] = 3

    assert base == {"limits": {"x": 1}}
    assert overlay == {"limits": {"x": 2}}


def test_sets_the_id_of_the_named_api_only():
    platform = {"apis": [{"api_name": "a", "api_id": "old"}, {"api_name": "b", "api_id": "keep"}]}

    result = with_api_id(platform, "a", "new")

    assert [api["api_id"] for api in result["apis"]] == ["new", "keep"]
    assert platform["apis"][0]["api_id"] == "old"


def test_writes_the_profile_over_the_base(tmp_path):
    base, profile, written = (tmp_path / n for n in ("base.json", "profile.json", "out/local.json"))
    base.write_text('{"mode": "act", "limits": {"seconds": 900}, "apis": [{"api_name": "a"}]}')
    profile.write_text('{"limits": {"seconds": 5}}')

    write_platform_file("a", "id1", base=base, profiles=[profile], destination=written)

    assert json.loads(written.read_text()) == {
        "mode": "act",
        "limits": {"seconds": 5},
        "apis": [{"api_name": "a", "api_id": "id1"}],
    }


def test_profiles_set_limits_of_runbooks_and_the_role_of_the_local_bootstrap():
    profile, procedures = (json.loads(p.read_text()) for p in (PROFILE, PROCEDURES))
    (stack,) = procedures.pop("stacks")
    (committed,) = json.loads(BASE.read_text())["stacks"]

    assert stack.pop("execution_role").startswith("cdk-")
    assert stack == committed
    for one in (profile, procedures):
        assert set(one) == {"runbooks"}
        assert all(set(settings) == {"limits"} for settings in one["runbooks"].values())


def test_sample_platform_is_the_one_the_platform_file_protects():
    platform = json.loads(BASE.read_text())

    assert [t["table_name"] for t in platform["tables"]] == [
        names.MESSAGE_TABLE,
        names.SESSION_TABLE,
    ]
    assert platform["tables"][0]["indexes"] == [names.MESSAGE_INDEX]
    assert platform["apis"][0]["api_name"] == names.API
    assert platform["tables"][0]["pointer_parameter"] == names.TABLE_PARAMETER
    assert {t["export_bucket"] for t in platform["tables"]} == {names.EXPORT_BUCKET}
    (chat,) = platform["functions"]
    assert (chat["function_name"], chat["alias"]) == (names.CHAT_FUNCTION, names.LIVE_ALIAS)
    assert chat["code_bucket"] == names.ARTIFACT_BUCKET
    assert chat["variables_secret_id"] == names.CHAT_VARIABLES
    assert platform["stacks"] == [
        {"stack_name": names.STACK, "template_bucket": names.ARTIFACT_BUCKET}
    ]
    assert [b["bucket_name"] for b in platform["buckets"]] == [names.ARTIFACT_BUCKET]
    assert platform["user_pools"] == [{"user_pool_id": names.USER_POOL_ID, "groups": [names.GROUP]}]
    assert [s["secret_id"] for s in platform["secrets"]] == [names.API_KEY]
    assert platform["roles"] == [{"role_name": names.CHAT_ROLE}]
