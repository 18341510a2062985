"""A hub on this machine: repositories of files, served as the client asks for them, byte ranges and cuts included."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = (".bin", ".safetensors", ".model")


class Hub:
    """``repos``: name to folder. ``cut``: files whose connection breaks after so many bytes, once, and from then on
    nothing is served until `mend`. ``ranges``: every beginning that was asked for, by file. ``spoilt``: sent wrong.
    """

    def __init__(self, repos: dict[str, Path]) -> None:
        self.repos, self.cut, self.spoilt = repos, dict[str, int](), set[str]()
        self.ranges: list[tuple[str, int]] = []
        self.down = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def mend(self) -> None:
        self.down = False


def entry(path: Path, repo: Path | None = None) -> dict[str, Any]:
    """A file as the hub lists it: large ones by their SHA-256, small ones by git's hash; by its path in ``repo``."""
    content = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    name = path.name if repo is None else path.relative_to(repo).as_posix()
    listed = {"type": "file", "path": name, "size": len(content), "oid": git}
    if path.suffix in _LARGE:
        listed["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return listed


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        repo = next((name for name in self.hub.repos if f"/{name}/" in f"{path}/"), None)
        if self.hub.down or (repo is None and not path.startswith("/files/")):
            unknown = {} if self.hub.down else {"X-Error-Code": "RepoNotFound"}
            return self._send(503 if self.hub.down else 404, b"{}", unknown, body)
        if path.startswith("/files/"):
            return self._send_file(self.hub.repos["files"] / path.rpartition("/")[2], body)
        folder = self.hub.repos[str(repo)]
        files = [entry(file, folder) for file in sorted(folder.rglob("*")) if file.is_file()]
        if path.startswith("/api/") and "/tree/" in path:
            return self._send(200, json.dumps(files).encode(), {"Content-Type": "application/json"}, body)
        if path.startswith("/api/"):
            about = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": file["path"]} for file in files]}
            return self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"}, body)
        _, _, inside = path.partition(f"/{repo}/resolve/")
        self._send_file(folder / inside.partition("/")[2], body)

    def _send_file(self, path: Path, body: bool) -> None:
        content, listed = path.read_bytes(), entry(path)
        etag = listed.get("lfs", listed)["oid"]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if path.name in self.hub.spoilt:
            content = bytes(len(content))
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if body:
            self.hub.ranges.append((path.name, start))
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(
            206 if start else 200, content[start:], headers, body, self.hub.cut.pop(path.name, None) if body else None
        )

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
        if cut is not None:
            self.hub.down = True
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None: ...
