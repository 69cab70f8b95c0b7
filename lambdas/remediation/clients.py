"""Clients of AWS services: one session, made on first use, kept for the life of the process."""

import functools
from typing import Any

# A changing function has 60 s; a call that does not answer in 10 s is read back, not waited for.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10


@functools.cache
def client(service: str) -> Any:
    """boto3 client of a service, with explicit time-outs and the standard retry mode."""
    # Imported here so that a module that only needs a type does not pay for botocore.
    from botocore.config import Config

    return _session().create_client(
        service,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    )


@functools.cache
def _session() -> Any:
    # What boto3.client() wraps. boto3 itself would add its resource objects and S3 transfers, which
    # nothing here uses, for a tenth of a cold start.
    from pathlib import Path

    import botocore.session
    from botocore.loaders import Loader

    class Models(Loader):  # type: ignore[misc]
        """Service models of botocore, taken to be there for every service that has a folder.

        botocore looks into each of 400 folders, twice, before it makes its first client: a tenth
        of a cold start. Which file a folder lacks, it finds out again when it loads one.
        """

        def list_available_services(self, _type_name: str) -> list[str]:
            return [folder.name for folder in Path(self.BUILTIN_DATA_PATH).iterdir()]

    session = botocore.session.Session()
    session.register_component("data_loader", Models())
    return session
