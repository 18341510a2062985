"""The page of forecasts: the verdict, AUC and gap by layer and horizon, and pieces from beginning to end."""

from __future__ import annotations

from functools import partial
from importlib.resources import files

from mech_music.report.found import Found
from mech_music.report.view import Chart, Decision, Heat, Measure, Paragraph, View
from mech_music.report.words import each
from mech_music.report.words import methods as shared_methods
from mech_music.results.beside import beside_controls
from mech_music.results.canvas import COMPONENT_WORDS
from mech_music.results.tables import lines_of
from mech_music.structure.pieces.timeline import script, shown
from mech_music.structure.verdict import verdict
from mech_music.tasks.horizon.columns import HORIZON
from mech_music.tasks.horizon.exported import given_by_edits


def title(found: Found) -> str:
    """The models."""
    return f"Returns foreseen, model {found.models}"


def question(found: Found) -> str:
    """What the run asks."""
    return (
        "At a moment of a piece, do activations tell whether the music so much later will be a return of an earlier "
        "section, beyond labels dealt anew, position, prompt, acoustics, a model that has learnt nothing, and the last "
        "moments alone?"
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, rows, probes, controls, layers, statistics."""
    controls = [f"{role.word}: {role.meaning}." for role in HORIZON.controls]
    own = [
        (
            "Rows",
            [
                "A moment is a beat after the first section, on which something begins; so much later there has to be "
                "a later section than its own, or the label would be read off what sounds already."
            ],
        ),
        (
            "Pieces",
            each(f"{run.pieces['name']}: {run.n_pieces} pieces; window {run.window:g} s." for run in found.runs),
        ),
        (
            "Probes",
            each(
                f"Logistic regression with an L2 penalty on standardised columns, {run.probe.folds} folds of tracks, "
                f"the penalty chosen over {run.probe.inner} folds of tracks within."
                for run in found.runs
            ),
        ),
        ("Controls", controls),
    ]
    return shared_methods(found, "sites (layer, horizon, regime and track)", own)


def _verdict(found: Found) -> list[Decision]:
    given = {regime: own for job in found.jobs for regime, own in given_by_edits(job.folder).items()}
    return [
        (f"{regime or 'pieces'}, {one.name}", one.holds, one.told)
        for regime, criteria in verdict(lines_of(found.table), lines_of(found.summary), given).items()
        for one in criteria
    ]


def page() -> View:
    """AUC and its gap to the hardest control, by layer and horizon."""
    return View(
        kind="forecasts of returns",
        title=title,
        question=question,
        methods=methods,
        beside=partial(beside_controls, shown=("auc", "brier")),
        site="{regime}, layer {=layer}, {horizon} {horizons_in}",
        effect="the probe",
        things="layers and horizons",
        rank="auc",
        shown=("auc", "f1", "brier", "ece"),
        of_controls=("auc", "brier"),
        measures={
            "auc": Measure(limits=(0.5, 1.0)),
            "f1": Measure(limits=(0.0, 1.0)),
            "brier": Measure(palette="viridis_r", limits=(0.0, 0.3)),
            "ece": Measure(palette="viridis_r", limits=(0.0, None)),
        },
        selectable=("model", "regime", "component"),
        words={"component": COMPONENT_WORDS},
        heat=Heat(across="horizon", down="layer"),
        glance_note="Of each layer the best horizon. Marked: above every control, track by track, over the table.",
        charts=(
            Chart("horizons", "AUC by how much later", "By horizon", ("auc", "brier"), x="horizon", panels="layer"),
            Chart("layers", "AUC by layer", "By layer", ("auc",), panels="horizon"),
            Chart(
                "timelines", "Pieces from beginning to end", "Pieces", ("auc",), kind="timelines",
                note="Each section in the colour of what it is like. The line: what the probe, which never saw this "
                "track, says at each moment about the music so much later; filled circles: it will be a return.",
            ),
        ),
        script=script() + files("mech_music.tasks.horizon").joinpath("page.js").read_text(encoding="utf-8"),
        data=shown,
        verdict=_verdict,
    )  # fmt: skip
