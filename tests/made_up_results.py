"""Made-up results tables with a known shape, for the tests of what is drawn and shown."""

import zlib
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd

from mech_music.tasks.interchange.columns import METRICS


def _axes(role: str, technique: str, component: str, layer: str, pair: tuple[str, str]) -> dict[str, object]:
    return {
        "task": "interchange",
        "model": "tiny",
        "classifier": "tiny",
        "technique": technique,
        "role": role,
        "component": component,
        "layer": layer,
        "head": "",
        "original": pair[0],
        "desired": pair[1],
        "strength": 1.0,
        "frames": "all",
        "half": "both",
        "history": "own",
        "design": "made up",
        "seeds": 1,
        "duration": 4.0,
        "seed": 0,
    }


def _block(rng: np.random.Generator, axes: dict[str, object], effect: float, n_prompts: int) -> pd.DataFrame:
    clips = {name: np.abs(rng.normal(0.5, 0.1, n_prompts)) for name in METRICS if name != "reliability"}
    clips["reliability"] = np.full(n_prompts, 0.8)
    clips["effectiveness_original"] = rng.normal(0.6 * effect, 0.3, n_prompts)
    clips["effectiveness_desired"] = rng.normal(0.4 * effect, 0.3, n_prompts)
    clips["effectiveness"] = clips["effectiveness_original"] + clips["effectiveness_desired"]
    clips["precision"] = -clips["precision"]
    for name in ("flipped", "flipped_pair", "kept", "kept_before"):
        clips[name] = (rng.random(n_prompts) < 0.8).astype(float)
    index = np.arange(n_prompts)
    keys = [f"{zlib.crc32(repr(axes).encode()):08x}{i:056x}" for i in index]
    identity = {
        "prompts": n_prompts,
        "prompt_set": "velez2024",
        "index": index,
        "repeat": 0,
        "prompt": [f"Compose a happy rock piece, with a {axes['original']} melody. {i}" for i in index],
        "row": keys,
        "baseline": [f"{i:064x}" for i in index],
        "failed": False,
    }
    return pd.DataFrame({**axes, **identity, **clips})


def _blocks(
    components: Sequence[str],
    techniques: Sequence[str],
    layers: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    n_prompts: int,
) -> Iterator[pd.DataFrame]:
    rng = np.random.default_rng(0)
    for technique, pair in product(techniques, pairs):
        for component, (place, layer) in product(components, enumerate(layers)):
            for role, effect in (("technique", 1.0 * place), ("self", 0.1), ("random", 0.0)):
                yield _block(rng, _axes(role, technique, component, layer, pair), effect, n_prompts)
        # Drawn from its own seed: every job of a sweep finds the same noise floor.
        noise = np.random.default_rng(1)
        yield _block(noise, _axes("noise", technique, "", "", pair), 0.0, n_prompts)


def made_up_table(
    components: Sequence[str] = ("mlp",),
    techniques: Sequence[str] = ("replace",),
    layers: Sequence[str] = ("0", "1", "2", "10", "together"),
    pairs: Sequence[tuple[str, str]] = (("guitar", "piano"),),
    n_prompts: int = 12,
    heads: Sequence[str] = ("",),
) -> pd.DataFrame:
    """A results table in which the effect is 0 nats at the first layer and one nat more at each that follows.

    Of several heads, the first has that effect, and the others have none of it.
    """
    first = pd.concat(_blocks(components, techniques, layers, pairs, n_prompts), ignore_index=True)
    tables = [first.assign(head=np.where(first["component"] != "", heads[0], ""))]
    for head in heads[1:]:
        weak = first.query("component != '' and role != 'technique'")
        none = weak.query("role == 'random'").assign(role="technique")
        tables.append(pd.concat([weak, none]).assign(head=head))
    return pd.concat(tables, ignore_index=True)
