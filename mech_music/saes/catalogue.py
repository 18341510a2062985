"""What is known of every feature of an SAE, for whoever shows or exports it: made of stored recordings, no model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float16, Float32, Int32
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

    @property
    def n_features(self) -> int:
        return len(self.clip)

    @property
    def n_prompts(self) -> int:
        return len({row.prompt for row in self.rows})

    def steered(self, feature: int) -> tuple[Row, dict[str, Row]] | None:
        """The clip that is edited, and its edited versions by what they are called; None for a dead feature."""
        randoms = [int(c) for kind, c in zip(self.kinds, self.clip[feature], strict=True) if KINDS[kind] == "random"]
        if self.steering is None or not self.largest[feature] > 0 or not [c for c in randoms if c >= 0]:
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
    listed, by_word = word_shares(firing["share"], [row.prompt for row in rows], words)
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
    )


def word_shares(
    share: Float32[np.ndarray, "clip feature"],
    prompts: Sequence[str],
    words: Mapping[tuple[str, str], Bool[np.ndarray, " clip"]],
) -> tuple[list[Word], Float32[np.ndarray, "end word feature"]]:
    """Means over prompts (each the mean of its clips that did not fail) with Student's intervals, cut at 0 and 1; of
    all prompts first, then of those with each word. NaN where there is none, ends where there are not two."""
    texts = list(dict.fromkeys(prompts))
    place = {text: number for number, text in enumerate(texts)}
    at = np.array([place[text] for text in prompts])
    whole = np.isfinite(share).all(axis=1)
    counts = np.bincount(at[whole], minlength=len(texts))
    sums = np.zeros((len(texts), share.shape[1]))
    np.add.at(sums, at[whole], share[whole])
    with np.errstate(invalid="ignore"):
        means = sums / counts[:, None]
    sets = {("", "all prompts"): np.ones(len(prompts), bool), **words}
    listed, found = [], np.full((3, len(sets), share.shape[1]), np.nan, np.float32)
    for number, ((category, text), positive) in enumerate(sets.items()):
        own = means[np.unique(at[positive & whole])]
        listed.append(Word(category, text, len(own)))
        if len(own):
            found[0, number] = own.mean(axis=0)
        if len(own) > 1:
            half = stdtrit(len(own) - 1, (1 + LEVEL) / 2) * own.std(axis=0, ddof=1) / math.sqrt(len(own))
            found[1:, number] = np.clip([own.mean(axis=0) - half, own.mean(axis=0) + half], 0, 1)
    return listed, found
