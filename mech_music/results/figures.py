"""Every figure, drawn from a summary alone: no model, no store. One name each, as PNG and SVG."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from mech_music.engine.workers import spread
from mech_music.results.tables import schema_of
from mech_music.tasks.decoder_lens import figures as lens
from mech_music.tasks.interchange import figures as interchange
from mech_music.tasks.interchange import pooled
from mech_music.tasks.self_similarity import figures as similarity

log = logging.getLogger(__name__)
_KINDS = {
    "interchange": (
        interchange.layer_curves,
        interchange.heatmap,
        interchange.tradeoff,
        interchange.dose_response,
        pooled.pooled_curves,
        pooled.pooled_tradeoff,
    ),
    "decoder_lens": (lens.concept_curves,),
    "tuned_lens": (lens.divergence_curves,),
    "self_similarity": (similarity.layer_maps,),
}


def draw_all(summary: pd.DataFrame, folder: Path, n_workers: int = 1) -> list[Path]:
    """Every figure that the summary allows, drawn by so many processes; the files written, PNG and SVG.

    Of each kind of an interchange's at most 12 are drawn, those with the greatest effects; a log line says what was
    left out.
    """
    kinds = _KINDS[schema_of(summary).task]
    drawn = dict(spread(lambda kind, _: kind(summary, folder), kinds, n_workers, lambda _: None))
    return [path for place in sorted(drawn) for path in drawn[place]]
