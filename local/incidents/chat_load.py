"""Traffic on the sample platform's API: what its users would send, and the answers they got."""

from __future__ import annotations

import collections
import json
import threading
import time
import urllib.error
import urllib.request

REQUESTS_PER_SECOND = 10
#: Answers of the last seconds say how the API is doing now.
RECENT_SECONDS = 3.0

_TIMEOUT_SECONDS = 15.0
_STOP_SECONDS = 20.0
_SESSIONS = 5
# No proxy of the person who runs this: the API is on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ChatLoad:
    """Posts chat messages, one after the other, until it is stopped.

    Parameters
    ----------
    url
        Where `POST /chat` is served.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._answers: collections.deque[tuple[float, int]] = collections.deque(maxlen=1_000)
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._post_on, name="chat-load", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more.

        Raises
        ------
        Exception
            What kept it from sending; an answer of the API, whatever its status, is no such thing.
        """
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)
        if self._failure is not None:
            raise self._failure

    @property
    def alive(self) -> bool:
        """Whether it is sending."""
        return self._thread.is_alive()

    def recent(self, *, within_seconds: float = RECENT_SECONDS) -> list[int]:
        """Return the status codes of the last seconds, oldest first."""
        since = time.monotonic() - within_seconds
        return [status for moment, status in list(self._answers) if moment >= since]

    def healthy(self) -> bool:
        """Whether there were answers in the last seconds, and every one was 200."""
        return set(self.recent()) == {200}

    def summary(self) -> str:
        """Share of failed requests in the last seconds, in words."""
        statuses = self.recent()
        if not statuses:
            return "no answers"
        counted = collections.Counter(statuses)
        failed = sum(n for status, n in counted.items() if status >= 500)
        codes = ", ".join(f"{n} x {status}" for status, n in sorted(counted.items()))
        return f"{100 * failed / len(statuses):.0f} % failed ({codes})"

    def _post_on(self) -> None:
        number = 0
        try:
            due = time.monotonic()
            while not self._ended.wait(max(due - time.monotonic(), 0)):
                # Behind a slow API the pace drops: late requests are not made up for.
                due = max(due, time.monotonic() - 1) + 1 / REQUESTS_PER_SECOND
                status = self._post(number)
                self._answers.append((time.monotonic(), status))
                number += 1
        except Exception as error:
            self._failure = error  # raised by stop(), in the caller's thread

    def _post(self, number: int) -> int:
        body = {"chatSessionId": f"session-{number % _SESSIONS}", "message": f"message {number}"}
        request = urllib.request.Request(
            self._url,
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            method="POST",
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
