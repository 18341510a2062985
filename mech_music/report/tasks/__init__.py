"""One page for each task: its question and methods in words, and what its charts draw."""

from __future__ import annotations

from mech_music.report.tasks import decoder_lens, interchange, self_similarity, tuned_lens
from mech_music.report.view import View
from mech_music.schema import Schema

_VIEWS = {
    "interchange": interchange.VIEW,
    "decoder_lens": decoder_lens.VIEW,
    "tuned_lens": tuned_lens.VIEW,
    "self_similarity": self_similarity.VIEW,
}


def view_of(schema: Schema) -> View:
    """The page of the schema's task."""
    return _VIEWS[schema.task]
