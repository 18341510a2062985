"""Returns, new sections and decoys under edits: nats a token along the pieces that heads were not found on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from mech_music.activations.recipes import Making, register
from mech_music.edits.row import Row
from mech_music.saes.progress import progress
from mech_music.structure.causes.candidates import edits_of
from mech_music.structure.causes.conditions import FeatureSet, Forced, Study
from mech_music.structure.causes.forced import by_kind, forced_nats
from mech_music.structure.pieces.annotated import AnnotatedPiece

Record = Mapping[str, np.ndarray]


def needed(study: Study) -> tuple[Any, ...]:
    """What has to be recorded before a study's conditions."""
    own = study.candidates.recorded if isinstance(study.candidates, FeatureSet) else ()
    return (study.scores, *own)


def opened(study: Study, making: Making) -> tuple[dict[Any, Record], list[tuple[int, AnnotatedPiece]]]:
    """The recordings that edits are made of, and the pieces that are tested on, each with its number."""
    passes = making.passes
    records: dict[Any, Record] = {
        one: {name: tensor.numpy() for name, tensor in passes.recording.get(one).items()} for one in needed(study)
    }
    pieces = study.scores.pieces.load(passes.model, passes.model.n_frames(passes.settings.duration))
    tested = np.flatnonzero(records[study.scores]["tested"]).tolist()
    own = [(number, pieces[number]) for number in tested]
    return records, own


class _Ablation:
    """Recipe of `Forced`: conditions of one size and kind are made at once, each piece under each."""

    def needs(self, source: Forced) -> Sequence[object]:
        return needed(source.study)

    def together(self, source: Forced) -> Hashable:
        one = source.condition
        return source.study, source.guidance, source.settle, one.role, one.size, one.how

    def make(self, sources: Sequence[Forced], making: Making) -> dict[Forced, Record]:
        first = sources[0]
        records, pieces = opened(first.study, making)
        rows = [
            Row(piece.prompt, 0, edits_of(first.study, source.condition, records))
            for source in sources
            for _, piece in pieces
        ]
        codes = [piece.codes for _, piece in pieces] * len(sources)
        words = f"{first.condition.role} {first.condition.size or ''} {first.condition.how}".strip()
        with progress(words, len(rows), making.quiet) as show:
            nats = forced_nats(making, rows, codes, first.guidance, show)
        found: dict[Forced, Record] = {}
        for place, source in enumerate(sources):
            own = nats[place * len(pieces) : (place + 1) * len(pieces)]
            sums, counts = zip(
                *(by_kind(piece, one, first.settle) for (_, piece), one in zip(pieces, own, strict=True)), strict=True
            )
            numbers = np.array([number for number, _ in pieces])
            found[source] = {"nats": np.stack(sums), "tokens": np.stack(counts), "piece": numbers}
        return found


register(Forced, _Ablation())
