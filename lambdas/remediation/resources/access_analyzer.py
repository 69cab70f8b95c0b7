"""IAM Access Analyzer's checks of a policy before it is put in force."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, ClassVar

from botocore.exceptions import ClientError, EndpointConnectionError

from lambdas.remediation.contracts import Json
from lambdas.remediation.errors import PrerequisiteNotMetError, TargetNotFoundError
from lambdas.remediation.resources.client_errors import reading

_POLICY_TYPE = "IDENTITY_POLICY"


class AccessAnalyzer:
    """Judges policies; changes nothing, and needs no analyzer in the account.

    Parameters
    ----------
    client
        Client of Access Analyzer.
    """

    service: ClassVar[str] = "accessanalyzer"

    def __init__(self, client: Any) -> None:
        self._client = client

    def problems(self, new: Json, old: Json) -> list[str]:
        """What keeps one policy document from taking the place of another.

        Parameters
        ----------
        new, old
            Policy documents of an identity.

        Returns
        -------
        list
            Errors of the new document, and access that it grants and the old one does not; empty
            if there are none.

        Raises
        ------
        PrerequisiteNotMetError
            Access Analyzer may not be asked, or is not to be had here.
        ThrottledError
            It has no time now.
        """
        with _asking():
            pages = self._client.get_paginator("validate_policy").paginate(
                policyDocument=json.dumps(new), policyType=_POLICY_TYPE
            )
            found = [
                f"{finding['issueCode']}: {finding['findingDetails']}"
                for page in pages
                for finding in page["findings"]
                if finding["findingType"] == "ERROR"
            ]
            answer = self._client.check_no_new_access(
                newPolicyDocument=json.dumps(new),
                existingPolicyDocument=json.dumps(old),
                policyType=_POLICY_TYPE,
            )
        if answer.get("result") != "PASS":
            found.append(f"new access: {answer.get('message') or answer.get('result')}")
        return found


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """What cannot be checked is not done; a busy service is asked again."""
    try:
        with reading("Access Analyzer"):
            try:
                yield
            except EndpointConnectionError as error:
                # Nothing listens there: Access Analyzer is not offered in this Region.
                raise PrerequisiteNotMetError(f"Access Analyzer: {error}") from error
    except (ClientError, TargetNotFoundError) as error:
        raise PrerequisiteNotMetError(f"Access Analyzer: {error}") from error
