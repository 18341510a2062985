"""What is known of every feature of an SAE, for whoever shows or exports it: made of stored recordings, no model."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float16, Float32, Int, Int32
from scipy.special import stdtrit

from mech_music.edits.row import AnyEdit, Edit, Half, Row, Term
from mech_music.edits.splice import Change, How, Splice
from mech_music.saes.browsing import BrowserConfig
from mech_music.saes.moments import KINDS, DecoderReadout, Moments
from mech_music.saes.named import Dictionary, FeatureDirection, Firing

LEVEL = 0.95  # of the intervals over prompts


@dataclass(frozen=True)
class Word:
    """A word of prompts, by its category; in how many prompts it is."""

    category: str
    text: str
    n_prompts: int


@dataclass(frozen=True)
class FeatureSet:
    """The features of one SAE on held-out clips.

    frame_rate: frames a second. rows: the clips; prompts: how many they have. kinds: of a feature's clips, places in
    `KINDS`. clip, trace: as `Moments` records them. by_word: mean, low and high end of the share of steps in which it
    fires, over prompts with each word (the first is all prompts). by_step: the share of clips that it fires in.
    readout: as `DecoderReadout` records it.
    """

    layer: int
    hook: str
    frame_rate: float
    n_frames: int
    rows: Sequence[Row]
    kinds: Sequence[int]
    clip: Int32[np.ndarray, "feature place"]
    trace: Float16[np.ndarray, "feature place step"]
    largest: Float32[np.ndarray, " feature"]
    words: Sequence[Word]
    by_word: Float32[np.ndarray, "end word feature"]
    by_step: Float[np.ndarray, "step feature"]
    readout: Mapping[str, np.ndarray]
    steering: Steering | None = None
    n_prompts: int = 0
    alive: Bool[np.ndarray, " feature"] | None = None

    @property
    def n_features(self) -> int:
        return len(self.clip)

    def steered(self, feature: int) -> tuple[Row, dict[str, Row]] | None:
        """The clip that is edited, and its edited versions by what they are called; None for a dead feature."""
        randoms = [int(c) for kind, c in zip(self.kinds, self.clip[feature], strict=True) if KINDS[kind] == "random"]
        fires = self.largest[feature] > 0 if self.alive is None else self.alive[feature]
        if self.steering is None or not fires or not [c for c in randoms if c >= 0]:
            return None
        row = self.rows[randoms[0]]
        edits = self.steering.edits(self.hook, feature)
        return row, {name: Row(row.prompt, row.seed, (edit,)) for name, edit in edits.items()}


@dataclass(frozen=True)
class Steering:
    """How features are added: ``strengths`` times their largest activation on ``firing``, in one guidance half."""

    firing: Firing
    strengths: tuple[float, ...]
    half: Half = Half.cond

    def edits(self, hook: str, feature: int) -> dict[str, AnyEdit]:
        """By name: erased (the rest kept with the error term), and added at each strength."""
        direction = FeatureDirection(self.firing, feature)
        edits: dict[str, AnyEdit] = {
            "erased": Splice(hook, self.firing.sae, (Change(feature, How.zero),), half=self.half)
        }
        for strength in self.strengths:
            edits[f"α = {strength:g}"] = Edit(hook, 1.0, (Term(strength, direction),), half=self.half)
        return edits


@dataclass(frozen=True)
class Catalogue:
    """All SAEs of a job. ``word``, ``category``, ``score``, ``rate``: which columns of the table of features
    (``features.csv``) hold what a feature tells best, how well, and in how large a share of clips it fires.

    with_sound, with_steering: so many features of each SAE, the first by score.
    """

    model: str
    sets: Sequence[FeatureSet]
    with_sound: int
    with_steering: int
    word: str = "word"
    category: str = "category"
    score: str = "auroc"
    rate: str = "fires_in_5_percent"


def sources_of(sae: Dictionary, firing: Firing, browser: BrowserConfig) -> tuple[Moments, DecoderReadout]:
    """What has to be recorded for one SAE."""
    return Moments(firing, browser.strongest, browser.median, browser.random), DecoderReadout(sae, firing.hook)


def feature_set(
    layer: int,
    delay: int,
    frame_rate: float,
    moments: Moments,
    words: Mapping[tuple[str, str], Bool[np.ndarray, " clip"]],
    records: Mapping[object, Mapping[str, np.ndarray]],
    steering: Steering | None = None,
) -> FeatureSet:
    """One SAE's features. ``delay``: steps that a clip has more than frames; ``words``: which clips' prompts have
    each."""
    firing, kept = records[moments.firing], records[moments]
    rows = moments.firing.harvest.rows
    readout = records[DecoderReadout(moments.firing.sae, moments.firing.hook)]
    units = moments.firing.harvest.units
    listed, by_word = word_shares(firing["share"], units, words)
    alive = firing["largest"] > 0
    if steering is not None and steering.firing in records:
        alive = alive & (records[steering.firing]["largest"] > 0)
    return FeatureSet(
        layer,
        moments.firing.hook,
        frame_rate,
        kept["trace"].shape[2] - delay,
        rows,
        moments.kinds,
        kept["clip"],
        kept["trace"],
        firing["largest"],
        listed,
        by_word,
        firing["by_step"],
        readout,
        steering,
        len(set(units)),
        alive,
    )


def word_shares(
    share: Float32[np.ndarray, "clip feature"],
    units: Sequence[Hashable],
    words: Mapping[tuple[str, str], Bool[np.ndarray, " clip"]],
) -> tuple[list[Word], Float32[np.ndarray, "end word feature"]]:
    """Means over units (each clip's prompt or recording; of each, the mean of its clips that have the word and did not
    fail) with Student's intervals, cut at 0 and 1; of all clips first, then of those with each word. NaN where there is
    none, ends where there are not two."""
    place = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    at = np.array([place[unit] for unit in units])
    whole = np.isfinite(share).all(axis=1)
    sets = {("", "all prompts"): np.ones(len(units), bool), **words}
    listed, found = [], np.full((3, len(sets), share.shape[1]), np.nan, np.float32)
    for number, ((category, text), positive) in enumerate(sets.items()):
        own = _unit_means(share[positive & whole], at[positive & whole])
        listed.append(Word(category, text, len(own)))
        if len(own):
            found[0, number] = own.mean(axis=0)
        if len(own) > 1:
            half = stdtrit(len(own) - 1, (1 + LEVEL) / 2) * own.std(axis=0, ddof=1) / math.sqrt(len(own))
            found[1:, number] = np.clip([own.mean(axis=0) - half, own.mean(axis=0) + half], 0, 1)
    return listed, found


def _unit_means(
    values: Float32[np.ndarray, "clip feature"], units: Int[np.ndarray, " clip"]
) -> Float[np.ndarray, "unit feature"]:
    order = np.argsort(units, kind="stable")
    _, first, counts = np.unique(units[order], return_index=True, return_counts=True)
    if not len(first):
        return np.zeros((0, values.shape[1]))
    return np.add.reduceat(values[order].astype(float), first, axis=0) / counts[:, None]
