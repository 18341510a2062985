"""How alike the layers' residual streams are: Euclidean distance, cosine, and centred kernel alignment (CKA)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.edits.row import Half
from mech_music.models.hooks import Hook

MEASURES = ("distance", "distance_of_means", "cosine", "cka")
_MOST_BYTES = 2**28
_HALVES = {Half.cond: slice(0, 1), Half.uncond: slice(1, 2), Half.both: slice(0, 2)}


class SimilarityRecorder:
    """Compares all hooks with each other, clip by clip.

    ``layers_distance`` and ``layers_cosine`` are means over a clip's steps (and guidance halves).
    ``layers_distance_of_means`` takes each layer's mean over the steps first. ``layers_cka`` compares the layers'
    geometry over the steps of a clip: see `unbiased_cka`. ``moved_…`` is the same with the second layer moved by half
    a clip; a mean over all steps would not notice, so there it is over half of the clip, the second layer's over the
    other half.
    """

    def __init__(self, hooks: Sequence[Hook], n_steps: int, d_model: int, half: Half) -> None:
        self.hooks, self._half = tuple(hooks), _HALVES[half]
        self.most = max(1, _MOST_BYTES // (len(self.hooks) * n_steps * 2 * d_model * 4))  # clips of a pass
        self._seen: dict[Hook, list[Tensor]] = {}
        self._found: dict[str, list[np.ndarray]] = {}
        self._places: list[int] = []

    def see(self, hook: Hook, step: int, value: Float[Tensor, "row half 1 d_model"]) -> None:
        """Keep the rows of a pass at one step."""
        halves = value[:, self._half, 0].transpose(0, 1)
        self._seen.setdefault(hook, []).append(halves.float().clone())

    def begin_pass(self, places: Sequence[int]) -> None:
        """Nothing is to be prepared."""

    def end_pass(self, places: Sequence[int]) -> None:
        """Compare what the clips of a pass have shown, and let go of it."""
        self._places.extend(places)
        streams = torch.stack([torch.stack(self._seen[hook]) for hook in self.hooks])
        self._seen = {}
        for clip in streams.unbind(3):
            halves = clip.transpose(1, 2)
            later = halves.roll(halves.shape[2] // 2, dims=2)
            for role, others in (("layers", halves), ("moved", later)):
                found = compare(halves, others) | {"distance_of_means": distances_of_means(halves, role == "moved")}
                for name, values in found.items():
                    self._found.setdefault(f"{role}_{name}", []).append(values)

    def tensors(self) -> list[dict[str, Float32[np.ndarray, "clip layer layer"]]]:
        """One recording, by the clips' places."""
        order = np.argsort(self._places)
        return [{name: np.stack(values)[order] for name, values in self._found.items()}]


def compare(
    streams: Float[Tensor, "layer half step d_model"], others: Float[Tensor, "layer half step d_model"]
) -> dict[str, Float32[np.ndarray, "layer layer"]]:
    """Every layer of the first with that and every later layer of the second, step by step; symmetric."""
    n = len(streams)
    found = {name: torch.zeros(n, n) for name in ("distance", "cosine", "cka")}
    unit, unit_others = (torch.nn.functional.normalize(x, dim=-1) for x in (streams, others))
    grams, grams_others = ([_gram(layer) for layer in x] for x in (streams, others))
    for a, b in combinations_with_replacement(range(n), 2):
        pair = {
            "distance": (streams[a] - others[b]).norm(dim=-1).mean(),
            "cosine": (unit[a] * unit_others[b]).sum(-1).mean(),
            "cka": _alignment(grams[a], grams_others[b]),
        }
        for name, value in pair.items():
            found[name][a, b] = found[name][b, a] = value
    return {name: values.numpy() for name, values in found.items()}


def distances_of_means(
    streams: Float[Tensor, "layer half step d_model"], moved: bool
) -> Float32[np.ndarray, "layer layer"]:
    """Euclidean distances between layers' means over time (Vélez Vásquez et al., ISMIR 2024, figure 3); symmetric.

    ``moved``: between the means over one half of the clip and those over the other, in either order.
    """
    middle = streams.shape[2] // 2
    parts = [streams[:, :, :middle], streams[:, :, middle:]] if moved else [streams, streams]
    first, second = (part.mean(dim=2) for part in parts)
    distances = (first[:, None] - second[None]).norm(dim=-1).mean(dim=-1)
    return (0.5 * (distances + distances.T)).numpy()


def unbiased_cka(x: Float[Tensor, "sample d_x"], y: Float[Tensor, "sample d_y"]) -> float:
    """Linear CKA (Kornblith et al., ICML 2019) with the unbiased HSIC of Song et al. (JMLR 2012, equation 5).

    1 for streams that are equal up to rotation and scale, about 0 for unrelated ones however few the samples
    (at least 4); NaN where a stream does not vary.
    """
    return float(_alignment(_gram(x[None]), _gram(y[None])))


def _gram(x: Float[Tensor, "half step d_model"]) -> Float[Tensor, "half step step"]:
    """Inner products of the steps, without their own."""
    x = (x - x.mean(dim=1, keepdim=True)).double()
    gram = x @ x.transpose(1, 2)
    return gram - torch.diag_embed(gram.diagonal(dim1=1, dim2=2))


def _alignment(k: Tensor, m: Tensor) -> Tensor:
    return (_hsic(k, m) / (_hsic(k, k) * _hsic(m, m)).sqrt()).mean()


def _hsic(k: Float[Tensor, "half step step"], m: Float[Tensor, "half step step"]) -> Float[Tensor, " half"]:
    n = k.shape[-1]
    rows_k, rows_m = k.sum(-1), m.sum(-1)
    paired = (k * m).sum((1, 2)) + rows_k.sum(-1) * rows_m.sum(-1) / ((n - 1) * (n - 2))
    return (paired - 2 / (n - 2) * (rows_k * rows_m).sum(-1)) / (n * (n - 3))
