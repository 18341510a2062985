"""Returns that the model writes itself: the piece up to a return is given, and it goes on under a condition.

Of pieces whose prompt tells the form, where there are such; else of all.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mech_music.activations.recipes import Making, register
from mech_music.edits.row import Prefix, Row
from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.saes.progress import progress
from mech_music.structure.causes.ablation import needed, opened
from mech_music.structure.causes.agreement import agreement
from mech_music.structure.causes.candidates import edits_of
from mech_music.structure.causes.conditions import Continued, Study
from mech_music.structure.causes.forced import forced_nats
from mech_music.structure.causes.places import returns_of
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind

if TYPE_CHECKING:
    from mech_music.base.workers import Advance

Record = Mapping[str, np.ndarray]


def continued(
    tested: Sequence[tuple[int, AnnotatedPiece]], exact: bool = False
) -> list[tuple[int, AnnotatedPiece, int]]:
    """The pieces that are gone on with: each with its number, and that of its first return.

    ``exact``: only returns with the very tokens of their source, the others' cannot agree with it.
    """
    with_returns = [
        (number, piece, own[0])
        for number, piece in tested
        if (own := [one for one in returns_of(piece) if not exact or piece.sections[one].kind is Kind.exact])
    ]
    told = [one for one in with_returns if one[1].regime == "told"]
    return told or with_returns


def row_of(piece: AnnotatedPiece, section: int, seed: int, edits: tuple = ()) -> Row:
    """A piece's own frames up to a section, to be gone on with."""
    given = piece.codes[:, : piece.sections[section].start]
    return Row(piece.prompt, seed, edits, prefix=Prefix.of(given.tolist()))


def rows_of(
    study: Study, source: Continued, records: Mapping, pieces: Sequence[tuple[int, AnnotatedPiece, int]]
) -> list[Row]:
    """The rows of a condition."""
    edits = edits_of(study, source.condition, records)
    return [row_of(piece, section, source.seed, edits) for _, piece, section in pieces]


class _Continuing:
    """Recipe of `Continued`: ``agreement``, ``other`` and ``nats`` (of the section, under the unedited model, guided as
    it is sampled) by piece. Clips are kept in the store; what was killed goes on."""

    def needs(self, source: Continued) -> Sequence[object]:
        return needed(source.study)

    def together(self, source: Continued) -> Hashable:
        one = source.condition
        return source.study, source.seed, one.role, one.size, one.how

    def make(self, sources: Sequence[Continued], making: Making) -> dict[Continued, Record]:
        first, passes = sources[0], making.passes
        records, tested = opened(first.study, making)
        pieces = continued(tested, exact=not isinstance(passes.model, SymbolicGenerator))
        rows = {source: rows_of(first.study, source, records, pieces) for source in sources}
        every = list(dict.fromkeys(row for own in rows.values() for row in own))
        packs = passes.packs(every, making.most, making.n_workers)

        def work(pack: Sequence[Row], advance: Advance) -> int:
            return passes.perform(pack, (), advance)

        words = f"continued {first.condition.role} {first.condition.size or ''}".strip()
        with progress(words, 2 * len(every), making.quiet) as show:
            making.spread(work, packs, show)
            passes.store.refresh()
            tokens = dict(zip(every, passes.stored_tokens(every).cpu().numpy(), strict=True))
            plain = [Row(row.prompt, 0) for row in every]
            codes = [np.maximum(tokens[row], 0) for row in every]
            found = forced_nats(making, plain, codes, passes.settings.sampling.guidance, show)
        nats = dict(zip(every, found, strict=True))
        numbers = np.array([number for number, _, _ in pieces], np.int64)
        return {
            source: {"piece": numbers, **_measured(making, pieces, own, tokens, nats)} for source, own in rows.items()
        }


def _measured(
    making: Making,
    pieces: Sequence[tuple[int, AnnotatedPiece, int]],
    rows: Sequence[Row],
    tokens: Mapping[Row, np.ndarray],
    nats: Mapping[Row, np.ndarray],
) -> dict[str, np.ndarray]:
    """By piece; NaN for a clip that failed."""
    found = np.full((3, len(rows)), np.nan)
    for place, ((_, piece, number), row) in enumerate(zip(pieces, rows, strict=True)):
        section = piece.sections[number]
        if (tokens[row] >= 0).all():
            near = agreement(making.passes.model, piece, number, tokens[row])
            found[:, place] = (*near, nats[row][:, section.start : section.end].mean())
    return dict(zip(("agreement", "other", "nats"), found, strict=True))


register(Continued, _Continuing())
