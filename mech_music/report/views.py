"""One page for each task: its question and methods in words, and what its charts draw."""

from __future__ import annotations

from mech_music.report.view import View
from mech_music.results.columns import Schema
from mech_music.tasks.decoder_lens import page as decoder_lens
from mech_music.tasks.interchange import page as interchange
from mech_music.tasks.self_similarity import page as self_similarity
from mech_music.tasks.tuned_lens import page as tuned_lens

_VIEWS = {
    "interchange": interchange.VIEW,
    "decoder_lens": decoder_lens.VIEW,
    "tuned_lens": tuned_lens.VIEW,
    "self_similarity": self_similarity.VIEW,
}


def view_of(schema: Schema) -> View:
    """The page of the schema's task."""
    return _VIEWS[schema.task]
