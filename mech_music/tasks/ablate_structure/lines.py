"""The lines of the table: what each condition costs, what is written under it, what patching restores, and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mech_music.structure.causes.candidates import named
from mech_music.structure.causes.conditions import Condition, Continued, FeatureSet, Forced, Restored, Study
from mech_music.structure.pieces.annotated import Kind

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers

_KINDS = [kind.value for kind in Kind]
_RETURNS = np.array([kind.returns for kind in Kind])
_SCORES = ("source", "elsewhere", "same_lag", "aligned", "recent", "copying")
Line = dict[str, Any]


class Numbering:
    """What tells lines of one condition apart: a piece's track, and which clip of the track it is."""

    def __init__(self, scores: Mapping[str, np.ndarray], draws: int) -> None:
        tested = np.asarray(scores["tested"], bool)
        self._track = {int(track): place for place, track in enumerate(dict.fromkeys(scores["track"][tested].tolist()))}
        self._of, self._draws = scores["track"], draws
        self._before = [int((self._of[:piece] == track).sum()) for piece, track in enumerate(self._of)]

    def __call__(self, piece: int, draw: int) -> Line:
        track = self._track[int(self._of[piece])]
        return {"piece": piece, "index": track, "repeat": self._before[piece] * self._draws + draw}


def described(study: Study, condition: Condition, answers: Answers) -> Line:
    """A condition's axes, and what it edits."""
    needed = [study.scores, *([study.candidates.firing] if isinstance(study.candidates, FeatureSet) else [])]
    edited = named(study, condition, {one: answers.records[one] for one in needed})
    return {"role": condition.role, "size": condition.size, "how": condition.how, "edited": edited}


def likelihood_lines(sources: Sequence[Forced], number: Numbering, answers: Answers) -> Iterator[Line]:
    """Nats and what edits cost, by piece and kind of section."""
    plain = _by_kind(answers.records[sources[0]])
    for source in sources:
        found, told = _by_kind(answers.records[source]), described(source.study, source.condition, answers)
        delta = {kind: found[kind] - plain[kind] for kind in found}
        for place, piece in enumerate(answers.records[source]["piece"].tolist()):
            for kind, nats in found.items():
                if not np.isnan(plain[kind][place]):
                    line = told | number(piece, source.condition.draw) | {"measured": "likelihood", "kind": kind}
                    cost = {"delta": delta[kind][place]} if source.condition.role != "unedited" else {}
                    if kind == "returns" and cost:
                        cost["difference"] = delta[kind][place] - delta["new"][place]
                    yield line | cost | {"nats": nats[place], "failed": bool(np.isnan(nats[place]))}


def _by_kind(record: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Nats a token by kind, and of all returns; NaN in pieces without any."""
    sums, counts = np.asarray(record["nats"], float), np.asarray(record["tokens"], float)
    columns = {kind: (sums[:, place], counts[:, place]) for place, kind in enumerate(_KINDS)}
    columns["returns"] = sums[:, _RETURNS].sum(1), counts[:, _RETURNS].sum(1)
    return {kind: np.divide(own, n, out=np.full(own.shape, np.nan), where=n > 0) for kind, (own, n) in columns.items()}


def generation_lines(sources: Sequence[Continued], number: Numbering, answers: Answers) -> Iterator[Line]:
    """How near what is written is to the section that should return."""
    plain = answers.records[sources[0]] if sources else {}
    for source in sources:
        record, told = answers.records[source], described(source.study, source.condition, answers)
        for place, piece in enumerate(record["piece"].tolist()):
            near, other, nats = (float(record[name][place]) for name in ("agreement", "other", "nats"))
            found = {"agreement": near, "contrast": near - other}
            if source.condition.role != "unedited":
                found |= {"lost": plain["agreement"][place] - near, "surprise": nats - plain["nats"][place]}
            line = told | number(piece, source.condition.draw) | {"measured": "generation", "kind": "returns"}
            yield line | found | {"nats": nats, "failed": bool(np.isnan(nats))}


def patching_lines(sources: Sequence[Restored], number: Numbering, answers: Answers) -> Iterator[Line]:
    """How much of what the true earlier section is worth comes back."""
    if not sources:
        return
    plain = answers.records[sources[0]]
    worth = np.asarray(plain["nats"] - plain["clean"], float)
    for source in sources:
        record, told = answers.records[source], described(source.study, source.condition, answers)
        shares = restored_by_piece(plain["nats"] - record["nats"], worth)
        for place, piece in enumerate(record["piece"].tolist()):
            line = told | number(piece, source.condition.draw) | {"measured": "patching", "kind": "returns"}
            edited = source.condition.role != "unedited"
            found = {"restored": float(shares[place])} if edited else {"delta": worth[place]}
            yield line | found | {"nats": record["nats"][place], "failed": bool(np.isnan(record["nats"][place]))}


def restored_by_piece(back: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """What each piece adds to the ratio of means, back over worth: their mean is the ratio, and their spread that of
    the ratio with both means drawn anew (its linearisation). NaN where the true section is worth nothing."""
    there = np.isfinite(back) & np.isfinite(worth)
    if not there.any() or (mean := worth[there].mean()) <= 0:
        return np.full(len(back), np.nan)
    ratio = back[there].mean() / mean
    return np.where(there, ratio + (back - ratio * worth) / mean, np.nan)


def head_lines(scores: Mapping[str, np.ndarray], number: Numbering) -> Iterator[Line]:
    """Every head's scores on the pieces that are tested on."""
    tested = np.flatnonzero(scores["tested"]).tolist()
    for layer, head in np.ndindex(scores["source"].shape[1:]):
        for piece in tested:
            found = {name: float(scores[name][piece, layer, head]) for name in _SCORES}
            line = {"measured": "heads", "kind": "returns", "role": "head", "size": 1, "how": "", "failed": False}
            yield line | number(piece, 0) | found | {
                "layer": str(layer), "head": str(head), "edited": f"{layer}.{head}"
            }  # fmt: skip
