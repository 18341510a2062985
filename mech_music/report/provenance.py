"""Where the numbers come from: fingerprints of model, classifier and table, and versions of the software."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence

from mech_music.base.errors import UserError
from mech_music.base.versions import installed_versions
from mech_music.cli.explain import explain
from mech_music.config.schema import RunConfig
from mech_music.report.found import Found
from mech_music.results.results import TABLE

_PACKAGES = ("audiocraft", "nnsight", "torch", "transformers", "hear21passt", "hydra-core", "numpy")


def versions() -> list[tuple[str, str]]:
    """Of Python and of the packages that decide results, on this machine."""
    return [("Python", platform.python_version()), *installed_versions(_PACKAGES)]


def fingerprints(found: Found) -> list[tuple[str, str]]:
    """What identifies the table, and each model and classifier as they are found on this machine."""
    path = found.folder / TABLE
    own = [("table.parquet", hashlib.sha256(path.read_bytes()).hexdigest())] if path.is_file() else []
    return own + _origins(found.runs)


def _origins(runs: Sequence[RunConfig]) -> list[tuple[str, str]]:
    from mech_music.listeners.classifier import classifier_id
    from mech_music.models.musicgen.loading import Checkpoint

    lines: dict[tuple[str, str], None] = {}
    distinct = {str((run.model, run.classifier, run.engine.device)): run for run in runs}
    for run in distinct.values():
        try:
            source = Checkpoint(run.model, run.engine.device)
            classifier = classifier_id(run.classifier)
        except UserError as error:
            lines[f"model {run.model.name}", f"not found here: {explain(error)}"] = None
        else:
            lines[f"model {run.model.name}", f"{source.model_id} ({source.source})"] = None
            lines[f"classifier {run.classifier.name}", classifier] = None
    return list(lines)
