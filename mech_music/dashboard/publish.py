"""To a folder, as JSON; and to W&B, where a view that was published before is brought up to date."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.dashboard.views import Views

log = logging.getLogger(__name__)


def write(views: Views, folder: Path) -> list[Path]:
    """The workspace's and the report's specs, as W&B stores them; the same runs give the same bytes."""
    paths = [folder / name for name in ("workspace.json", "report.json")]
    for path, made in zip(paths, (views.workspace, views.report), strict=True):
        spec = made._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)
        with replacing(path) as partial:
            partial.write_text(json.dumps(spec, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return paths


def publish(views: Views, folder: Path) -> list[str]:
    """Save both to W&B; their addresses. ``folder`` remembers their ids for the next time.

    UserError if W&B cannot be reached or refuses.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    path = folder / "published.json"
    try:
        remembered = json.loads(path.read_text())
    except (OSError, ValueError):
        remembered = {}
    try:
        entity = views.entity or str(wandb.Api().default_entity)
        views = Views(views.found, views.project, entity)
        workspace, report = views.workspace, views.report
        known: dict[str, str] = remembered.get(f"{entity}/{views.project}", {})
        workspace._internal_name, workspace._internal_id = known.get("name", ""), known.get("workspace", "")
        report.id = known.get("report", "")
        workspace.save()
        report.save()
    except Exception as error:
        log.info("W&B refused", exc_info=error)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        line = f"W&B could not be reached or refused ({reason}): see --entity and --project, and try again"
        raise UserError(line) from error
    ids = {"name": workspace._internal_name, "workspace": workspace._internal_id, "report": report.id}
    with replacing(path) as partial:
        partial.write_text(json.dumps(remembered | {f"{entity}/{views.project}": ids}, indent=1) + "\n")
    return [workspace.url, report.url]
