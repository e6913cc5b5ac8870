from __future__ import annotations

import hashlib
import io
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loretta_framework.api.errors import StorageError
from loretta_framework.shards.preparing import download
from loretta_framework.shards.preparing.download import ATTEMPTS, Original, download_original

CONTENT = bytes(range(256)) * 4000  # a megabyte
Answer = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by the server's `answer(handler, first byte asked for)`; notes what was asked."""

    def do_GET(self) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(match[1]) if match else 0
        self.server.asked.append(start)  # type: ignore[attr-defined]
        self.server.answer(self, start)  # type: ignore[attr-defined]

    def send(self, start: int, body: bytes, total: int, announce: int | None = None) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body) if announce is None else announce))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *parts: object) -> None:
        pass


class Server:
    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}/some/file.bin"
        self._server = server
        server.asked = []  # type: ignore[attr-defined]
        self.answer(whole)

    def answer(self, answer: Answer) -> None:
        self._server.answer = answer  # type: ignore[attr-defined]

    @property
    def asked(self) -> list[int]:
        return list(self._server.asked)  # type: ignore[attr-defined]


def whole(handler: Handler, start: int) -> None:
    handler.send(start, CONTENT[start:], len(CONTENT))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "BACKOFF_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield Server(running)
        running.shutdown()


def original(url: str, content: bytes = CONTENT, algorithm: str = "sha256") -> Original:
    digest = hashlib.new(algorithm, content).hexdigest()
    return Original("file.bin", url, len(content), f"{algorithm}:{digest}")


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_file_arrives_whole_and_is_not_asked_for_again(
    algorithm: str, server: Server, tmp_path: Path
) -> None:
    wanted = original(server.url, algorithm=algorithm)
    path = download_original(wanted, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert [found.name for found in path.parent.iterdir()] == ["file.bin"]
    assert download_original(wanted, path.parent) == path
    assert server.asked == [0]


def test_an_answer_cut_short_is_resumed_where_it_stopped(server: Server, tmp_path: Path) -> None:
    def short(handler: Handler, start: int) -> None:
        handler.send(start, CONTENT[start : start + 400_000], len(CONTENT), len(CONTENT) - start)
        handler.close_connection = True

    server.answer(short)
    path = download_original(original(server.url), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [0, 400_000, 800_000]


def test_a_second_run_goes_on_where_the_first_was_cut_off(server: Server, tmp_path: Path) -> None:
    def first(handler: Handler, start: int) -> None:
        if start:
            handler.send_error(403)
            return
        handler.send(0, CONTENT[:500_000], len(CONTENT), len(CONTENT))
        handler.close_connection = True

    server.answer(first)
    with pytest.raises(StorageError, match="answers 403"):
        download_original(original(server.url), tmp_path)
    assert not (tmp_path / "file.bin").exists()
    server.answer(whole)
    assert download_original(original(server.url), tmp_path).read_bytes() == CONTENT
    assert server.asked == [0, 500_000, 500_000]


def test_a_server_that_cannot_resume_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".file.bin.part").write_bytes(CONTENT[:1000])
    server.answer(lambda handler, start: handler.send(0, CONTENT, len(CONTENT)))
    assert download_original(original(server.url), tmp_path).read_bytes() == CONTENT
    assert server.asked == [1000]


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 5])
def test_a_part_of_another_file_is_dropped(size: int, server: Server, tmp_path: Path) -> None:
    (tmp_path / ".file.bin.part").write_bytes(b"x" * size)
    assert download_original(original(server.url), tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == 0


def test_a_range_that_is_refused_starts_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".file.bin.part").write_bytes(CONTENT[:1000])
    server.answer(lambda h, start: h.send_error(416) if start else whole(h, 0))
    assert download_original(original(server.url), tmp_path).read_bytes() == CONTENT
    assert server.asked == [1000, 0]


def test_a_wrong_checksum_names_both_and_removes_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"mine")
    other = bytes(len(CONTENT))
    wanted = original(server.url, other)
    with pytest.raises(StorageError) as caught:
        download_original(wanted, tmp_path)
    found = hashlib.sha256(CONTENT).hexdigest()
    assert caught.value.what == f"the checksum must be {wanted.checksum}, but is sha256:{found}"
    assert caught.value.exit_code == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_file_that_is_missing_names_its_home_and_the_way_by_hand(
    server: Server, tmp_path: Path
) -> None:
    server.answer(lambda handler, start: handler.send_error(404, "Not Found"))
    with pytest.raises(StorageError, match="answers 404 Not Found") as caught:
        download_original(original(server.url), tmp_path)
    assert caught.value.where == server.url
    assert "'file.bin' by hand" in caught.value.fix
    assert "--source" in caught.value.fix
    assert server.asked == [0]


def test_a_server_that_recovers_is_asked_again(server: Server, tmp_path: Path) -> None:
    answers = iter([503, 429])

    def busy(handler: Handler, start: int) -> None:
        code = next(answers, None)
        handler.send_error(code) if code else whole(handler, start)

    server.answer(busy)
    assert download_original(original(server.url), tmp_path).read_bytes() == CONTENT


def test_a_connection_that_always_drops_is_given_up(server: Server, tmp_path: Path) -> None:
    def drop(handler: Handler, start: int) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    server.answer(drop)
    with pytest.raises(StorageError, match=f"broke off after 0 of {len(CONTENT)} bytes"):
        download_original(original(server.url), tmp_path)
    assert len(server.asked) == ATTEMPTS


def test_without_a_network_the_url_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "BACKOFF_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file.bin"
    with pytest.raises(StorageError, match="refused") as caught:
        download_original(original(url), tmp_path)
    assert caught.value.where == url


def test_a_server_that_sends_too_much_is_cut_off(server: Server, tmp_path: Path) -> None:
    wanted = original(server.url, CONTENT[:1000])
    with pytest.raises(StorageError, match="more than the file's 1000 bytes"):
        download_original(wanted, tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_http_is_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    with pytest.raises(StorageError, match="only http and https"):
        download_original(original(secret.as_uri()), tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        download_original(original(server.url), tmp_path / "file" / "below")
    assert "LORETTA_CACHE" in caught.value.fix


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(
    terminal: bool, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", shown)
    download_original(original(server.url), tmp_path)
    assert ("file.bin" in shown.getvalue()) == terminal
