import pytest
from botocore.exceptions import ClientError

from local.engine.process import ACCOUNT_ID, Engine
from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine


def test_role_may_write_read_and_delete_its_dashboard_only(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    statement = {
        "Effect": "Allow",
        "Action": [
            f"cloudwatch:{call}" for call in ("PutDashboard", "GetDashboard", "DeleteDashboards")
        ],
        "Resource": [f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/{name}"],
    }
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("cloudwatch", role, enforcing_engine.url)
    client.put_dashboard(DashboardName=name, DashboardBody="{}")
    assert client.get_dashboard(DashboardName=name)["DashboardBody"] == "{}"
    other = f"{name}-other"
    with pytest.raises(ClientError, match="cloudwatch:PutDashboard"):
        client.put_dashboard(DashboardName=other, DashboardBody="{}")
    with pytest.raises(ClientError, match="cloudwatch:GetDashboard"):
        client.get_dashboard(DashboardName=other)
    with pytest.raises(ClientError, match="cloudwatch:DeleteDashboards"):
        client.delete_dashboards(DashboardNames=[name, other])
    client.delete_dashboards(DashboardNames=[name])
