import http.server
import json
import threading

import pytest

from local.incidents.chat_load import ChatLoad
from tests.local.workbench import eventually

pytestmark = pytest.mark.engine  # for the network on loopback only


@pytest.fixture
def api():
    """An API on loopback that answers with the status it is told to."""

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.bodies.append(
                json.loads(self.rfile.read(int(self.headers["content-length"])))
            )
            self.send_response(self.server.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.status, server.bodies = 200, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def load(api):
    load = ChatLoad(f"http://127.0.0.1:{api.server_port}/chat")
    yield load
    load.stop()


def test_load_posts_what_the_chat_function_takes(api, load):
    load.start()

    assert eventually(load.healthy)
    assert set(api.bodies[0]) == {"chatSessionId", "message"}


def test_load_goes_on_when_the_api_fails_and_says_how_much_of_it(api, load):
    load.start()
    eventually(load.healthy)
    api.status = 502

    assert eventually(lambda: 502 in load.recent())
    assert not load.healthy()
    assert "% failed" in load.summary()
    assert "x 502" in load.summary()


def test_without_answers_the_api_is_not_healthy(load):
    assert not load.healthy()
    assert load.summary() == "no answers"


def test_load_that_cannot_send_says_so_when_it_is_stopped():
    load = ChatLoad("http://127.0.0.1:1/chat")
    load.start()
    eventually(lambda: not load.alive)

    with pytest.raises(OSError, match="refused"):
        load.stop()
