"""The review's page on this machine: 127.0.0.1 alone, for who has its address alone.

The address holds a secret: other accounts of the machine can reach the port, and neither read nor decide anything.
"""

from __future__ import annotations

import json
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from threading import Lock
from typing import Any

from mech_music.base.errors import UserError
from mech_music.structure.review.decisions import Decision, append, file_of, read_decisions
from mech_music.structure.review.folder import Review
from mech_music.structure.review.page import media, served_page

HOST = "127.0.0.1"
_LONGEST = 10_000  # bytes of a request's body


class ReviewServer(ThreadingHTTPServer):
    """Serves one reviewer's page. ``port`` 0: any that is free. UserError for a port that is taken."""

    daemon_threads = True

    def __init__(self, review: Review, reviewer: str, port: int = 0) -> None:
        file_of(review.folder, reviewer)  # the name is a file's
        self.review, self.reviewer, self.writing = review, reviewer, Lock()
        self.secret = token_urlsafe(16)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"port={port} cannot be used ({error}): give another, or port=0 for any") from None

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.secret}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """The names under which a browser may ask: another one is a foreign page that had its name lead here."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"

    def decided(self) -> dict[str, Decision]:
        """What the reviewer has decided so far."""
        return read_decisions(self.review.folder, self.reviewer)

    def decide(self, pair: str, decision: Decision | None, seconds: float = 0.0) -> None:
        """Save it. The disk has it when this returns."""
        with self.writing:
            append(self.review.folder, self.reviewer, pair, decision, seconds)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away says nothing of the server."""


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(self._page)

    def do_POST(self) -> None:
        self._answer(self._saved)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal has the address only."""

    def _answer(self, work: Any) -> None:
        try:
            self._check_origin()
            self._check_secret()
            mime, content = work()
        except _Refused as refused:
            self._send(refused.status, "text/plain; charset=utf-8", refused.why.encode())
        except UserError as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", str(error).encode())
        else:
            self._send(HTTPStatus.OK, mime, content)

    def _check_origin(self) -> None:
        """Neither a page of another place may ask, nor one whose name was made to lead here."""
        own = [f"http://{host}" for host in self.server.hosts]
        origin = self.headers.get("Origin")
        foreign = self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
        if self.headers.get("Host") not in self.server.hosts or foreign or (origin is not None and origin not in own):
            raise _Refused(HTTPStatus.FORBIDDEN, "this page answers to itself alone")

    def _check_secret(self) -> None:
        given = self.path.split("/")[1] if "/" in self.path else ""
        if not compare_digest(given.encode(), self.server.secret.encode()):
            self.close_connection = True  # whatever it sent is not read
            raise _Refused(HTTPStatus.FORBIDDEN, "use the address that the terminal shows")

    @property
    def _asked(self) -> str:
        """The path behind the secret."""
        return self.path.removeprefix(f"/{self.server.secret}")

    def _page(self) -> tuple[str, bytes]:
        parts = self._asked.strip("/").split("/")
        if parts == [""]:
            page = served_page(self.server.review, self.server.reviewer, self.server.decided())
            return "text/html; charset=utf-8", page.encode()
        try:
            _, pair, kind, which = parts
            return media(self.server.review, self.server.review.queue[pair], which, kind)
        except (KeyError, ValueError):
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such thing") from None

    def _saved(self) -> tuple[str, bytes]:
        said = self._said()
        if self._asked == "/undo":
            made = list(self.server.decided())
            if made:
                self.server.decide(made[-1], None)
            return "application/json", json.dumps({"pair": made[-1] if made else None}).encode()
        pair, decision = str(said.get("pair")), str(said.get("decision"))
        if self._asked != "/decide" or pair not in self.server.review.queue or decision not in list(Decision):
            raise _Refused(HTTPStatus.BAD_REQUEST, f"no pair or no decision: expected one of {', '.join(Decision)}")
        seconds = said.get("seconds", 0.0)
        self.server.decide(pair, Decision(decision), float(seconds) if isinstance(seconds, int | float) else 0.0)
        return "application/json", json.dumps({"pair": pair}).encode()

    def _said(self) -> dict[str, Any]:
        """The request's body. A form of another page cannot send JSON without asking first."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Content-Type") != "application/json" or not length.isdecimal() or int(length) > _LONGEST:
            self.close_connection = True  # what was not read is no next request
            raise _Refused(HTTPStatus.BAD_REQUEST, "expected JSON")
        try:
            said = json.loads(self.rfile.read(int(length)))
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise _Refused(HTTPStatus.BAD_REQUEST, "expected JSON")
        return said

    def _send(self, status: HTTPStatus, mime: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)
