"""A model hub on the loopback address: as much of its HTTP API as the hub's client asks for, with faults on request."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATER = "89abcdef0123456789abcdef0123456789abcdef"


@dataclass
class FakeHub:
    """Repositories by owner/name: folders. `commits`: by repository. `requests`: methods and paths, in order.

    `cut`: the path of a file whose next download ends after half of its bytes. `damaged`: by path, what is sent
    instead of a file. `gated`: repositories that need a login. `hidden`: paths that
    cannot be downloaded, though they are listed.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    cut: str = ""
    damaged: dict[str, bytes] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    address: str = ""

    def add(self, repository: str, folder: Path, *, commit: str = COMMIT) -> None:
        self.folders[repository], self.commits[repository] = folder, commit

    def downloads(self) -> list[str]:
        """The files that were asked for, with the first byte of each."""
        return [f"{path} {start}" for method, path, start in self.requests if method == "GET" and "/resolve/" in path]

    def info(self, repository: str) -> dict[str, Any]:
        files = [path for path in sorted(self.folders[repository].rglob("*")) if path.is_file()]
        siblings: list[dict[str, Any]] = []
        for path in files:
            data = path.read_bytes()
            one: dict[str, Any] = {
                "rfilename": path.relative_to(self.folders[repository]).as_posix(),
                "size": len(data),
                "blobId": "0" * 40,
            }
            if path.suffix == ".onnx":
                one["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            siblings.append(one)
        return {"id": repository, "sha": self.commits[repository], "siblings": siblings, "private": False, "tags": []}


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a hub until the block ends."""

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *args: Any) -> None: ...

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        first = int((re.findall(r"bytes=(\d+)", self.headers.get("Range", "")) or [0])[0])
        self.state.requests.append((self.command, path, str(first)))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        matched = api or file
        repository = matched[1] if matched else ""
        if repository not in self.state.folders:
            return self._refuse(404, "RepoNotFound")
        if repository in self.state.gated:
            return self._refuse(403, "GatedRepo")
        if matched and matched[2] not in (None, "main", self.state.commits[repository]):
            return self._refuse(404, "RevisionNotFound")
        if api:
            return self._send(json.dumps(self.state.info(repository)).encode(), body=body)
        assert file is not None
        return self._file(repository, file[3], first, body=body)

    def _file(self, repository: str, name: str, first: int, *, body: bool) -> None:
        path = self.state.folders[repository] / name
        if not path.is_file() or name in self.state.hidden:
            return self._refuse(404, "EntryNotFound")
        data = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": self.state.commits[repository]}
        headers |= {"X-Linked-Size": str(len(data)), "Accept-Ranges": "bytes"}
        sent = self.state.damaged.get(name, data)[first:]
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        if body and self.state.cut == name:
            self.state.cut = ""
            return self._send(sent, headers, status=206 if first else 200, body=True, most=len(sent) // 2)
        return self._send(sent, headers, status=206 if first else 200, body=body)

    def _refuse(self, status: int, code: str) -> None:
        self._send(b"{}", {"X-Error-Code": code, "X-Error-Message": code}, status=status, body=True)

    def _send(
        self,
        data: bytes,
        headers: dict[str, str] | None = None,
        *,
        status: int = 200,
        body: bool,
        most: int | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(data[:most])
        if most is not None:
            self.close_connection = True
