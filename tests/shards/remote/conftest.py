"""A web server in a thread that fails on request, and a cache that is never the user's own."""

from __future__ import annotations

import hashlib
import io
import random
import re
import tarfile
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.shards.remote import fetch, transport


def shard(samples: int, seed: int = 0, size: int = 3000) -> bytes:
    """A tar with image and text members, the same bytes at every call."""
    draw, out = random.Random(seed), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(samples):
            for name, data in (
                (f"{seed:02d}{number:06d}.image.png", draw.randbytes(size)),
                (f"{seed:02d}{number:06d}.text.txt", f"sample {number}".encode()),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


class FaultyServer:
    """Serves `files` (path -> bytes). Faults are queued per path and used up one a request.

    A probe is a request for byte 0 alone, or HEAD; the others ask for content. Faults:
    ("status", code), ("drop", bytes sent), ("stall", bytes sent), ("length", bytes announced too
    many), ("more", bytes too many, no length), "no-range", "no-length", "no-tag", "gzip",
    ("redirect", url), ("swap", bytes sent, new content), ("after", new content),
    "bare-206" (a range without its place), ("range-at", first byte).
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, deque[Any]] = defaultdict(deque)
        self.probe_faults: dict[str, deque[Any]] = defaultdict(deque)
        self.always: dict[str, Any] = {}
        self.log: list[tuple[str, str, str | None]] = []
        self.release = threading.Event()
        self.arrived = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def put(self, path: str, data: bytes, *faults: Any) -> str:
        """Serve `data` and return its URL."""
        self.files[path] = data
        self.faults[path].extend(faults)
        return f"{self.base}{path}"

    def content_requests(self, path: str) -> list[str | None]:
        """The Range headers of the requests for content."""
        found = [r for method, p, r in self.log if p == path and method == "GET"]
        return [r for r in found if r != "bytes=0-0"]

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyServer

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def _serve(self, *, body: bool) -> None:
        owner = self.owner
        path = self.path.partition("?")[0]
        wanted = self.headers.get("Range")
        owner.log.append((self.command, path, wanted))
        probe = wanted == "bytes=0-0" or not body
        queue = owner.probe_faults[path] if probe else owner.faults[path]
        fault = queue.popleft() if queue else owner.always.get(path, "ok")
        kind, *rest = (fault,) if isinstance(fault, str) else fault
        data = owner.files.get(path)
        if kind == "status" or data is None:
            self.send_error(rest[0] if kind == "status" else 404)
            return
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", rest[0])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
        first, last = 0, len(data) - 1
        partial = match is not None and kind != "no-range"
        if match and partial:
            first = int(match[1])
            last = min(last, int(match[2])) if match[2] else last
        if partial and first >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self._tag(data, kind)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if kind == "range-at":
            first = rest[0]
        part = data[first : last + 1]
        self.send_response(206 if partial else 200)
        if partial and kind != "bare-206":
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self._tag(data, kind)
        self._send(kind, rest, part, body=body, path=path)

    def _tag(self, data: bytes, kind: str) -> None:
        if kind != "no-tag" and self.owner.always.get(self.path) != "no-tag":
            self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
            self.send_header("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT")

    def _send(self, kind: str, rest: list[Any], part: bytes, *, body: bool, path: str) -> None:
        self.close_connection = True
        if kind == "gzip":
            self.send_header("Content-Encoding", "gzip")
        if kind not in ("more", "no-length"):
            extra = rest[0] if kind == "length" else 0
            self.send_header("Content-Length", str(len(part) + extra))
        self.end_headers()
        if not body:
            return
        send = part[: rest[0]] if kind in ("drop", "stall", "swap") else part
        if kind == "more":
            send = part + bytes(rest[0])
        try:
            self.wfile.write(send)
            self.wfile.flush()
        except OSError:  # the reader left: a probe that got the whole file
            return
        if kind == "swap":
            self.owner.files[path] = rest[1]
        if kind == "after":
            self.owner.files[path] = rest[0]
        if kind == "stall":
            self.owner.arrived.set()
            self.owner.release.wait(30)


@pytest.fixture
def web() -> Iterator[FaultyServer]:
    server = FaultyServer()
    yield server
    server.close()


@pytest.fixture
def make_shard() -> Any:
    return shard


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder; tries follow each other at once and silence is short."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LORETTA_CACHE", str(folder))
    monkeypatch.delenv("LORETTA_CACHE_GB", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.0)
    monkeypatch.setattr(transport, "TIMEOUT_S", 0.5)
    return folder
