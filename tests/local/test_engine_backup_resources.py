import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench, arn

pytestmark = pytest.mark.engine


def test_role_may_read_the_backups_of_its_table_only(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    dynamodb = enforcing_bench.client("dynamodb")
    backups = {}
    for table in (name, f"{name}-other"):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        made = dynamodb.create_backup(TableName=table, BackupName=table)
        backups[table] = made["BackupDetails"]["BackupArn"]
    statement = {
        "Effect": "Allow",
        "Action": ["dynamodb:DescribeBackup"],
        "Resource": [arn("dynamodb", f"table/{name}/backup/*")],
    }
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("dynamodb", role, enforcing_engine.url)
    described = client.describe_backup(BackupArn=backups[name])["BackupDescription"]
    assert described["BackupDetails"]["BackupName"] == name
    with pytest.raises(ClientError, match="dynamodb:DescribeBackup"):
        client.describe_backup(BackupArn=backups[f"{name}-other"])
    with pytest.raises(ClientError, match="dynamodb:DeleteBackup"):
        client.delete_backup(BackupArn=backups[name])


def test_restores_and_tags_of_one_table_are_allowed(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    dynamodb = enforcing_bench.client("dynamodb")
    backups = {}
    for table in (name, f"{name}-other"):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        made = dynamodb.create_backup(TableName=table, BackupName=table)
        backups[table] = made["BackupDetails"]["BackupArn"]
    statement = {
        "Effect": "Allow",
        "Action": [
            "dynamodb:RestoreTableFromBackup",
            "dynamodb:RestoreTableToPointInTime",
            "dynamodb:ListTagsOfResource",
        ],
        "Resource": [
            arn("dynamodb", f"table/{part}")
            for part in (name, f"{name}/backup/*", f"{name}-restored-*")
        ],
    }
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("dynamodb", role, enforcing_engine.url)

    client.restore_table_from_backup(TargetTableName=f"{name}-restored-1", BackupArn=backups[name])
    client.restore_table_to_point_in_time(
        SourceTableArn=arn("dynamodb", f"table/{name}"), TargetTableName=f"{name}-restored-2"
    )
    tags = client.list_tags_of_resource(ResourceArn=arn("dynamodb", f"table/{name}"))

    assert tags["Tags"] == []
    with pytest.raises(ClientError, match="dynamodb:RestoreTableFromBackup"):
        client.restore_table_from_backup(TargetTableName=f"{name}-new", BackupArn=backups[name])
    with pytest.raises(ClientError, match="dynamodb:RestoreTableFromBackup"):
        client.restore_table_from_backup(
            TargetTableName=f"{name}-restored-3", BackupArn=backups[f"{name}-other"]
        )
    with pytest.raises(ClientError, match="dynamodb:RestoreTableToPointInTime"):
        client.restore_table_to_point_in_time(
            SourceTableName=f"{name}-other", TargetTableName=f"{name}-restored-3"
        )
    with pytest.raises(ClientError, match="dynamodb:ListTagsOfResource"):
        client.list_tags_of_resource(ResourceArn=arn("dynamodb", f"table/{name}-other"))
