"""What could be forecast without any foresight: columns of controls that know no activation, and labels dealt anew.

Each control is fitted exactly as the probe is (`mech_music.structure.forecast.probes`), on the same rows and folds.
What they are given is more than a model at that moment has: the number of the section that is asked about, and how
many there are, count as position.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from mech_music.structure.forecast.rows import Rows
from mech_music.structure.pieces.annotated import AnnotatedPiece

_WORD = re.compile(r"[\w-]+")


def position(pieces: Sequence[AnnotatedPiece], rows: Rows) -> Float[np.ndarray, "row column"]:
    """Position and time only: t, beats into the section, tempo; which section t is in, which is asked about, of how
    many, and both numbers as one."""
    n_sections = np.array([len(piece.sections) for piece in pieces])[rows.piece]
    beats = np.array([len(piece.beats) * piece.frame_rate / piece.n_frames for piece in pieces])[rows.piece]
    pairs = rows.section * (rows.later.max(initial=0) + 1) + rows.later
    numbers = np.stack([rows.seconds, rows.into, beats, rows.section, rows.later, n_sections], axis=1)
    return np.hstack([numbers, *map(_one_hot, (rows.section, rows.later, n_sections, pairs))])


def prompt(pieces: Sequence[AnnotatedPiece], rows: Rows) -> Float[np.ndarray, "row column"]:
    """Prompt or source only: which words its prompt has."""
    words = [set(_WORD.findall(piece.prompt.lower())) for piece in pieces]
    every = sorted(set.union(*words))
    told = [word for word in every if any(word not in own for own in words)]
    table = np.array([[word in own for word in told] for own in words], float).reshape(len(pieces), -1)
    return table[rows.piece] if told else np.zeros((len(rows), 1))


def prompt_and_position(pieces: Sequence[AnnotatedPiece], rows: Rows) -> Float[np.ndarray, "row column"]:
    """Words, position, and every word in every section that is asked about: what reading a form off the prompt with a
    clock gives."""
    words, later = prompt(pieces, rows), _one_hot(rows.later)
    both = (words[:, :, None] * later[:, None, :]).reshape(len(rows), -1)
    return np.hstack([words, position(pieces, rows), both])


def _one_hot(values: Int[np.ndarray, " row"]) -> Float[np.ndarray, "row value"]:
    return (values[:, None] == np.unique(values)).astype(float)


def shuffled(pieces: Sequence[AnnotatedPiece], rows: Rows, seed: int) -> Bool[np.ndarray, " row"]:
    """Labels dealt anew: the sections of one number change places between tracks, whole, so that each position keeps
    its share of returns."""
    random, labels = np.random.default_rng(seed), rows.returns.copy()
    for number in np.unique(rows.later):
        there = [at for at in np.unique(rows.piece).tolist() if len(pieces[at].sections) > number]
        dealt = dict(zip(there, random.permutation(there).tolist(), strict=True))
        at = np.flatnonzero(rows.later == number)
        labels[at] = [pieces[dealt[one]].sections[number].kind.returns for one in rows.piece[at].tolist()]
    return labels


PLAIN = {"position": position, "prompt": prompt, "prompt_position": prompt_and_position}
"""Controls that are columns, by role."""
