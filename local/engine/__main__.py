"""Start MiniStack with the links in place, on loopback only."""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import threading
import time

_SHUTDOWN_SECONDS = 5.0
# MiniStack's other listeners take every interface, whatever BIND_HOST says.
_LISTENERS = {"IOT_MTLS_ENABLED": "0", "SFTP_HOST": "127.0.0.1"}


def refuse_public_address(host: str | None) -> None:
    """End the process unless ``host`` is a loopback address.

    MiniStack listens on every interface when BIND_HOST is not set, with no authentication.
    """
    if host == "localhost":
        return
    try:
        if host and ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise SystemExit(
        f"BIND_HOST is {host!r}: the engine starts on a loopback address only; "
        "set BIND_HOST=127.0.0.1"
    )


def main() -> None:
    """Check the address and the engine, install the links, serve until stopped."""
    refuse_public_address(os.environ.get("BIND_HOST"))
    os.environ.update(_LISTENERS)
    if os.environ.get("ENGINE_ENDS_WITH_STDIN") == "1":
        threading.Thread(target=_end_with_stdin, name="parent-watch", daemon=True).start()

    # Not at the top: importing the links imports MiniStack, which reads its environment.
    from local.engine import links

    try:
        links.verify()
    except links.IncompatibleEngineError as error:
        raise SystemExit(f"engine: {error}") from error
    links.install()

    from ministack.app import main as serve

    serve()


def _end_with_stdin() -> None:
    while sys.stdin.buffer.read(1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SHUTDOWN_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
