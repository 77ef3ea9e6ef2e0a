import hashlib
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.download import FetchError, Patience, RemoteFile, fetch
from harness.errors import StoreError

CONTENT = bytes(range(256)) * 1000
QUICK = Patience(attempts=1, answer_s=0.4, total_s=5, backoff_s=0)
STUBBORN = Patience(attempts=3, answer_s=0.4, total_s=5, backoff_s=0.01)


class Server(ThreadingHTTPServer):
    """A real mirror on loopback that plays one behaviour per request, the last one for ever."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *behaviours):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours, self.requests, self.closing = behaviours, [], threading.Event()

    def handle_error(self, request, client_address):
        """Say nothing: clients that hang up are what is tested."""

    def file(self, name="file.bin", content=CONTENT) -> RemoteFile:
        return RemoteFile(
            url=f"http://127.0.0.1:{self.server_port}/{name}",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        turn = min(len(self.server.requests), len(self.server.behaviours) - 1)
        self.server.requests.append(self.path)
        self.server.behaviours[turn](self)

    def log_message(self, *args):
        pass


def reply(handler, content=CONTENT, *, length=None, status=200):
    handler.send_response(status)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content)


def good(handler):
    reply(handler, length=len(CONTENT))


def truncated(handler):
    reply(handler, CONTENT[:1000], length=len(CONTENT))


def truncated_without_length(handler):
    reply(handler, CONTENT[:1000])


def too_long(handler):
    reply(handler, CONTENT + b"!")


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.closing.is_set():
        handler.wfile.write(bytes(65536))


def wrong(handler):
    reply(handler, b"x" * len(CONTENT), length=len(CONTENT))


def unavailable(handler):
    reply(handler, b"", status=503)


def forbidden(handler):
    reply(handler, b"", status=403)


def silent(handler):
    handler.server.closing.wait(20)


def silent_after_the_first_bytes(handler):
    reply(handler, CONTENT[:100], length=len(CONTENT))
    handler.wfile.flush()
    handler.server.closing.wait(20)


def dripping_header(handler):
    for byte in b"HTTP/1.0 200 OK\r\nX-A: " + b"a" * 1000:
        handler.wfile.write(bytes([byte]))
        if handler.server.closing.wait(0.05):
            return


def dripping_content(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.closing.wait(0.05):
        handler.wfile.write(b"a")


@contextmanager
def serving(*behaviours):
    server = Server(*behaviours)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def test_good_file_arrives(tmp_path):
    with serving(good) as server:
        fetch([[server.file()]], tmp_path / "new" / "folder", QUICK)
    assert (tmp_path / "new" / "folder" / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("behaviour", "text", "asked"),
    [
        (truncated, "sent 1000 instead of 256000 bytes", 3),
        (truncated_without_length, "sent 1000 instead of 256000 bytes", 3),
        (too_long, "sent 256001 instead of 256000 bytes", 3),
        (endless, r"sent \d+ instead of 256000 bytes", 3),
        (unavailable, "HTTP 503", 3),
        (wrong, "sent a file with the wrong checksum", 1),
        (forbidden, "HTTP 403", 1),
    ],
)
def test_bad_answers_leave_nothing_and_are_asked_again_only_if_it_can_help(
    tmp_path, behaviour, text, asked
):
    with serving(behaviour) as server:
        with pytest.raises(FetchError, match=rf"^127\.0\.0\.1:{server.server_port}: {text}"):
            fetch([[server.file()]], tmp_path, STUBBORN)
        assert len(server.requests) == asked
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first", [unavailable, truncated, silent, silent_after_the_first_bytes])
def test_a_passing_fault_is_overcome(tmp_path, first):
    with serving(first, good) as server:
        fetch([[server.file()]], tmp_path, STUBBORN)
        assert len(server.requests) == 2
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("behaviour", [silent, dripping_header])
def test_a_mirror_without_an_answer_is_left_in_time(tmp_path, behaviour):
    with serving(behaviour) as server:
        started = time.monotonic()
        with pytest.raises(FetchError, match=r"no answer in 0\.4 s|timed out"):
            fetch([[server.file()]], tmp_path, QUICK)
        # 0.4 s are allowed; the rest is room for a busy machine. A server's drip lasts 50 s.
        assert time.monotonic() - started < 3


def test_a_drip_of_content_is_left_when_the_whole_time_is_up(tmp_path):
    short = Patience(attempts=9, answer_s=0.4, total_s=1, backoff_s=0)
    with serving(dripping_content) as server:
        started = time.monotonic()
        with pytest.raises(FetchError, match=r"too slow, \d+ of 256000 bytes in time$"):
            fetch([[server.file()]], tmp_path, short)
        assert 0.9 < time.monotonic() - started < 4
        left_behind = [t for t in threading.enumerate() if t.name == "download file.bin"]
        for thread in left_behind:
            thread.join(2)
        assert not any(thread.is_alive() for thread in left_behind)


def test_a_name_look_up_that_hangs_is_left_in_time(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: release.wait(30) and [])
    remote = RemoteFile(url="http://mirror.invalid/file.bin", size=1, sha256="0")
    started = time.monotonic()
    with pytest.raises(FetchError, match=r"^mirror\.invalid: no answer in 0\.4 s$"):
        fetch([[remote]], tmp_path, QUICK)
    assert time.monotonic() - started < 3
    release.set()


def test_a_refused_connection_is_said(tmp_path):
    with serving(good) as server:
        remote = server.file()
    with pytest.raises(FetchError, match="Connection refused"):
        fetch([[remote]], tmp_path, QUICK)


def test_the_next_mirror_helps_out(tmp_path):
    with serving(forbidden) as bad, serving(good) as fine:
        fetch([[bad.file()], [fine.file()]], tmp_path, QUICK)
        assert (len(bad.requests), len(fine.requests)) == (1, 1)


def test_every_mirror_is_named_when_all_fail(tmp_path):
    with serving(forbidden) as one, serving(unavailable) as two:
        with pytest.raises(FetchError) as caught:
            fetch([[one.file()], [two.file()]], tmp_path, QUICK)
        assert str(caught.value) == (
            f"127.0.0.1:{one.server_port}: HTTP 403; 127.0.0.1:{two.server_port}: HTTP 503"
        )


def test_files_that_have_arrived_are_not_fetched_again(tmp_path):
    with serving(good, unavailable, good) as server:
        fetch([[server.file("a"), server.file("b")]], tmp_path, STUBBORN)
        assert server.requests == ["/a", "/b", "/b"]


def test_a_damaged_file_in_the_cache_is_fetched_anew(tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1])
    with serving(good) as server:
        fetch([[server.file()]], tmp_path, QUICK)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path):
    (tmp_path / "file").touch()
    with serving(good) as server, pytest.raises(StoreError, match="cannot be written"):
        fetch([[server.file()]], tmp_path / "file" / "below", QUICK)
