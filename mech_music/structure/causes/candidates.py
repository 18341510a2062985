"""What a condition does to a run, as edits: heads, features of an SAE or a direction, found ones and their controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mech_music.base.errors import UserError
from mech_music.edits.row import Edit, Half, Projection, RandomDirection, Term
from mech_music.edits.splice import Change, How, Splice
from mech_music.models.hooks import Component, Hook
from mech_music.saes.directions import as_often
from mech_music.structure.causes.conditions import (
    AlongReturns,
    Condition,
    FeatureSet,
    HeadSet,
    PieceMean,
    ReturnDirection,
    Study,
)
from mech_music.structure.causes.head_scores import found_on, induction
from mech_music.structure.causes.heads import Head, factor_of, must_exist, random_like, ranked

Record = Mapping[str, np.ndarray]
POINT = "attn.z"


def heads_of(study: Study, condition: Condition, scores: Record) -> list[Head]:
    """The heads that a condition edits. UserError for one that does not exist, or more than there are.

    Local heads: the highest attention to the last few positions, those that were found left out.
    """
    assert isinstance(study.candidates, HeadSet)
    n_layers, n_heads = scores["source"].shape[1:3]
    if condition.role == "all":
        return [Head(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    given = [Head(*one) for one in study.candidates.given]
    must_exist(given, n_layers, n_heads)
    order = given or ranked(induction(scores))
    if condition.size > len(order):
        raise UserError(f"sizes={condition.size}: there are {len(order)} candidate heads; use at most as many")
    found = order[: condition.size]
    match condition.role:
        case "found":
            return found
        case "random":
            return random_like(found, n_layers, n_heads, condition.draw)
        case "local":
            return [head for head in ranked(found_on(scores, "recent")) if head not in found][: condition.size]
    return []


def named(study: Study, condition: Condition, records: Mapping[Any, Record]) -> str:
    """What a condition edits, for people: ``2.1+3.0``."""
    match study.candidates:
        case HeadSet():
            every = heads_of(study, condition, records[study.scores])
            return "all" if condition.role == "all" else "+".join(map(str, sorted(every)))
        case FeatureSet():
            return "+".join(map(str, features_of(study.candidates, condition, records[study.candidates.firing])))
        case AlongReturns():
            return "" if condition.role == "unedited" else "returns" if condition.role == "found" else "random"


def features_of(candidates: FeatureSet, condition: Condition, firing: Record) -> list[int]:
    """The features that a condition edits. UserError for one that does not exist, and where there are no others."""
    n = firing["activation"].shape[1]
    if wrong := [feature for feature in candidates.given if not 0 <= feature < n]:
        raise UserError(f"features={wrong[0]}: the SAE has features 0 to {n - 1}")
    found = list(candidates.given[: condition.size])
    return as_often(firing, found, condition.draw) if condition.role == "random" else found


def edits_of(study: Study, condition: Condition, records: Mapping[Any, Record]) -> tuple[Any, ...]:
    """The edits of a run under a condition; none for the unedited one."""
    if condition.role == "unedited":
        return ()
    match study.candidates:
        case HeadSet():
            heads = heads_of(study, condition, records[study.scores])
            return tuple(_of_heads(study, hook, own, condition.how) for hook, own in by_layer(heads))
        case FeatureSet():
            firing = records[study.candidates.firing]
            features = features_of(study.candidates, condition, firing)
            return (_of_features(study.candidates, features, condition.how, firing, study.half),)
        case AlongReturns():
            return (_along(study, study.candidates, condition),)


def by_layer(heads: Sequence[Head]) -> list[tuple[Hook, tuple[int, ...]]]:
    """The hook of each layer that has some of the heads, in forward order, and which heads of it."""
    layers = sorted({one.layer for one in heads})
    return [(Hook(layer, POINT), tuple(sorted(one.head for one in heads if one.layer == layer))) for layer in layers]


def _of_heads(study: Study, hook: Hook, heads: tuple[int, ...], how: str) -> Edit:
    scale = factor_of(how)
    shift = (Term(1.0, PieceMean(study.scores)),) if how == "mean" else ()
    return Edit(hook.name, scale, shift, half=study.half, heads=heads)


def _of_features(candidates: FeatureSet, features: Sequence[int], how: str, firing: Record, half: Half) -> Splice:
    means = np.nanmean(firing["activation"], axis=0)

    def change(feature: int) -> Change:
        if how == "mean":
            return Change(feature, How.set, float(means[feature]))
        return Change(feature, How.scale, factor_of(how))

    return Splice(candidates.firing.hook, candidates.sae, tuple(map(change, features)), half=half)


def _along(study: Study, candidates: AlongReturns, condition: Condition) -> Projection | RandomDirection:
    hook = Hook(candidates.layer, Component.resid.point).name
    direction = (Term(1.0, ReturnDirection(study.scores)),)
    edit = Projection(hook, factor_of(condition.how), direction, half=study.half)
    return edit if condition.role == "found" else RandomDirection(edit, condition.draw)
