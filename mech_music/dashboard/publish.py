"""To a folder, as JSON; and to W&B, where a view that was published before is brought up to date."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from mech_music.dashboard.views import Views
from mech_music.errors import UserError
from mech_music.store.atomic import replacing
from mech_music.tracking.wandb import logged_in

_PUBLISHED = "published.json"
log = logging.getLogger(__name__)


def write(views: Views, folder: Path) -> list[Path]:
    """The workspace's and the report's specs, as W&B stores them; the same runs give the same bytes."""
    specs = [made._to_model().model_dump(mode="json", by_alias=True, exclude_none=True) for made in _both(views)]
    paths = [folder / name for name in ("workspace.json", "report.json")]
    for path, spec in zip(paths, specs, strict=True):
        with replacing(path) as partial:
            partial.write_text(json.dumps(spec, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return paths


def must_be_logged_in() -> None:
    """UserError without a W&B login on this machine. Nothing is sent."""
    if not logged_in():
        raise UserError("--publish needs a W&B login: run `wandb login` once, or leave it out to write files only")


def default_entity() -> str:
    """The account's own entity. UserError if W&B cannot be reached."""
    import wandb

    try:
        return str(wandb.Api().default_entity)
    except Exception as error:
        raise _refused(error) from error


def publish(views: Views, folder: Path) -> list[str]:
    """Save both to W&B; their addresses. ``folder`` remembers their ids for the next time."""
    os.environ.setdefault("WANDB_SILENT", "true")
    remembered = _remembered(folder / _PUBLISHED)
    workspace, report = _both(views)
    at = f"{views.entity}/{views.project}"
    known: dict[str, str] = remembered.get(at, {})
    workspace._internal_name, workspace._internal_id = known.get("name", ""), known.get("workspace", "")
    report.id = known.get("report", "")
    try:
        workspace.save()
        report.save()
    except Exception as error:
        raise _refused(error) from error
    ids = {"name": workspace._internal_name, "workspace": workspace._internal_id, "report": report.id}
    with replacing(folder / _PUBLISHED) as partial:
        partial.write_text(json.dumps(remembered | {at: ids}, indent=1) + "\n")
    return [workspace.url, report.url]


def _both(views: Views) -> tuple[Any, Any]:
    return views.workspace, views.report


def _remembered(path: Path) -> dict[str, dict[str, str]]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _refused(error: Exception) -> UserError:
    log.info("W&B refused", exc_info=error)
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(f"W&B could not be reached or refused ({reason}): see --entity and --project, and try again")
