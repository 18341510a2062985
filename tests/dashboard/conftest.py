"""A sweep with W&B runs, its clips made up; and a server that answers as W&B's does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import wandb

from tests.composing import CommandLine

SWEEP = (
    "-m", "component=mlp,ca", "technique=steer", "strength=0.5,2", "pair=guitar-piano+jazz-rock",
    "layer='0,7,together'", "prompts=2", "statistics.resamples=20", "logger=wandb",
    "audio.strongest=1", "audio.weakest=0",
)  # fmt: skip
SINGLE = ("prompts=2", "statistics.resamples=20", "layer=last", "logger=wandb", "controls=[noise]", "pair=guitar-rock")


def without_figures(patch: pytest.MonkeyPatch) -> None:
    for module in ("cli.job", "results.results"):
        patch.setattr(f"mech_music.{module}.draw", lambda summary, folder, n_workers=1: [])


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a sweep over components and strengths, two pairs a job, in ``sweep``; and one job in ``run``."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        without_figures(patch)
        command = CommandLine(folder, patch)
        assert command(*SWEEP) == 0
        assert command(*SINGLE) == 0
        yield folder


class Server:
    """W&B's GraphQL, as far as views are saved with it; ``saved`` holds the variables of every view."""

    def __init__(self) -> None:
        self.saved: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                answer = json.dumps({"data": outer.answer(json.loads(body))}).encode() if body[:1] == b"{" else b"{}"
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        variables = asked.get("variables") or {}
        if "upsertView" in asked["query"]:
            self.saved.append(variables)
        view = {
            "id": variables.get("id") or f"view{len(self.saved)}",
            "name": variables.get("name"),
            "displayName": variables.get("displayName"),
            "description": "",
            "spec": json.dumps({"blocks": [], "version": 5}),
            "project": {"id": "p", "name": "mech_music", "entityName": "me"},
        }
        return {
            "upsertView": {"view": view, "inserted": True},
            "viewer": {"id": "1", "entity": "me", "username": "me", "teams": {"edges": []}, "flags": "{}"},
            "project": {"id": "p", "internalId": "1"},
            "models": {"pageInfo": {"hasNextPage": False, "endCursor": None}, "edges": []},
            "upsertModel": {"model": {"id": "p", "name": "mech_music", "entityName": "me"}, "inserted": True},
            "serverInfo": {"cliVersionInfo": {}, "latestLocalVersionInfo": None},
        }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A W&B on this machine, with a login for it."""
    wandb.teardown()  # it reads the environment once a process
    server = Server()
    thread = threading.Thread(target=server.server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("WANDB_BASE_URL", server.address)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    yield server
    wandb.teardown()
    server.server.shutdown()
    server.server.server_close()
    thread.join()
