"""How unusual a clip is to the model that made it: the likelihood of its tokens when nothing is edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mech_music.edits.row import Prefix
from mech_music.models.sampling import Sampling

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.listeners.protocol import Clips
    from mech_music.models.protocol import Generator

_VERSION = 2  # raise it when a change of this code changes a reading
_FRAMES_AT_ONCE = 2**11  # of all clips in one forward pass


class Likelihood:
    """Nats a token, the mean of −log p over the tokens that were generated (a row's prefix was given; a whole clip that
    is given as sound counts as if it was generated).

    ``nats``: under the guided distribution that tokens are sampled from, at the sampling temperature, before top-k.
    Edits, exits and their lenses are left out: the same tokens, read by the plain model with the clip's own prompt.
    """

    in_background = False  # it runs the model that generates

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self.id = f"likelihood {_VERSION} {astuple(sampling)}"

    @classmethod
    def from_run(cls, run: RunConfig) -> Self:
        """Under the distribution that the run samples from."""
        return cls(Sampling(**asdict(run.sampling)))

    def load(self) -> None:
        """There is nothing to load: the generator comes with the clips."""

    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, " clip"]]:
        """``nats`` of each clip."""
        given = [row.prefix.n_frames if isinstance(row.prefix, Prefix) else 0 for row in clips.rows]
        prompts = [row.prompt for row in clips.rows]
        return {"nats": nats(clips.generator, prompts, clips.tokens, given, self._sampling)}


@torch.no_grad()
def nats(
    generator: Generator,
    prompts: Sequence[str],
    tokens: Int[Tensor, "clip codebook frame"],
    given: Sequence[int],
    sampling: Sampling,
) -> Float32[np.ndarray, " clip"]:
    """−log p in nats, averaged over a clip's codebooks and its frames after the first ``given`` ones.

    Teacher-forced, all steps in one forward pass, always over as many clips (the last is repeated), whose prompts may
    share a pass: so a clip's last bits do not depend on the others.
    """
    size = max(1, min(8, _FRAMES_AT_ONCE // tokens.shape[-1]))
    groups: dict[object, list[int]] = {}
    for place, prompt in enumerate(prompts):
        groups.setdefault(generator.group_of(prompt), []).append(place)
    found = np.empty(len(prompts), dtype=np.float32)
    for group in groups.values():
        for start in range(0, len(group), size):
            some = group[start : start + size]
            whole = some + some[-1:] * (size - len(some))
            logits = generator.forced_logits([prompts[place] for place in whole], tokens[whole], sampling)
            each = -_log_probability(logits, tokens[whole].to(logits.device))
            for place, clip in zip(some, each.cpu(), strict=False):
                found[place] = clip[:, given[place] :].mean()
    return found


def _log_probability(
    logits: Float[Tensor, "clip codebook frame card"], tokens: Int[Tensor, "clip codebook frame"]
) -> Float[Tensor, "clip codebook frame"]:
    chosen = logits.gather(-1, tokens.long()[..., None])[..., 0]
    return chosen.float() - logits.float().logsumexp(dim=-1)
