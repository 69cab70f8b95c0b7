"""Clients are botocore's own, though its list of services is not made first."""

import botocore.session
import pytest
from botocore.exceptions import OperationNotPageableError, UnknownServiceError

from lambdas.remediation import clients
from tests.conftest import REGION


@pytest.fixture(autouse=True)
def _made_anew():
    clients._session.cache_clear()
    clients.client.cache_clear()
    yield
    clients.client.cache_clear()


@pytest.mark.parametrize("service", ["dynamodb", "apigatewayv2", "accessanalyzer", "s3"])
def test_a_client_has_the_operations_and_the_endpoint_that_botocore_gives_it(service):
    ours = clients.client(service)
    theirs = botocore.session.Session().create_client(service, region_name=REGION)

    assert ours.meta.service_model.operation_names == theirs.meta.service_model.operation_names
    assert ours.meta.endpoint_url == theirs.meta.endpoint_url
    assert ours.waiter_names == theirs.waiter_names


def test_pages_are_read_where_a_service_has_any():
    assert clients.client("cloudwatch").can_paginate("get_metric_data")
    with pytest.raises(OperationNotPageableError):
        clients.client("cloudwatch").get_paginator("get_dashboard")


def test_a_service_without_waiters_has_none():
    """accessanalyzer has no such file, in a folder that is taken to hold everything."""
    assert clients.client("accessanalyzer").waiter_names == []


def test_a_service_that_is_not_there_is_still_an_error():
    with pytest.raises(UnknownServiceError, match="no-such-service"):
        clients.client("no-such-service")
