"""The clips that are generated: one prompt's original and its edited versions, as in the paper's experiments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from mech_music.edits.row import Edit, Mean, Row, Term
from mech_music.models.hooks import Component, Hook
from mech_music.prompts.declared import load_prompt_set

_STUDY = load_prompt_set()
ORIGINAL, DESIRED = (Mean(_STUDY.prompts_of(_STUDY.concepts[name], 4)) for name in ("guitar", "piano"))
VERSIONS = 48
_COMPONENTS = (Component.mlp, Component.ca, Component.sa)
_TECHNIQUES = {"replace": (0.0, (Term(1.0, DESIRED),)), "adjust": (1.0, (Term(1.0, DESIRED), Term(-1.0, ORIGINAL)))}


def prompts(n: int) -> list[str]:
    """``n`` prompts about a guitar; after the first hundred they repeat."""
    distinct = [prompt.text for prompt in _STUDY.concept_prompts(_STUDY.concepts["guitar"], 100)]
    return [distinct[i % len(distinct)] for i in range(n)]


def versions(prompt: str, seed: int, n_layers: int, n: int = VERSIONS) -> list[Row]:
    """The prompt's original and, up to ``n`` in all, one version for each component, technique and layer."""
    edits = [
        Edit(Hook(layer, component.point).name, scale, shift)
        for component, (scale, shift), layer in product(_COMPONENTS, _TECHNIQUES.values(), range(n_layers))
    ]
    return [Row(prompt, seed), *(Row(prompt, seed, (edit,)) for edit in edits[: n - 1])]


def everywhere(row: Row, n_layers: int) -> Row:
    """The row with its component replaced in every layer, for each of self-attention, cross-attention and MLP."""
    scale, shift = _TECHNIQUES["replace"]
    hooks = [Hook(layer, component.point).name for layer in range(n_layers) for component in _COMPONENTS]
    return replace(row, edits=tuple(Edit(hook, scale, shift) for hook in hooks))


def somewhere(row: Row) -> Row:
    """The row with the first layer's MLP replaced."""
    scale, shift = _TECHNIQUES["replace"]
    return replace(row, edits=(Edit(Hook(0, Component.mlp.point).name, scale, shift),))


def random_means(n_steps: int, d_model: int) -> Callable[[Mean, str], Tensor]:
    """Stand-ins for both concepts' means where their values do not matter: ``[step, half, d_model]``, small."""
    generator = torch.Generator().manual_seed(0)
    means = {source: 0.01 * torch.randn(n_steps, 2, d_model, generator=generator) for source in (ORIGINAL, DESIRED)}
    return lambda source, hook: means[source]
