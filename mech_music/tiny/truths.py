"""What is known of tiny's inside, measured with raw PyTorch hooks, independently of the rest of the package.

For a pair of concepts: which share of clips flips from the original to the desired concept when one component's branch
outputs are replaced, in all layers and at every frame, by their mean over the desired concept's prompts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mech_music.prompts.concepts import Concept, Prompt
from mech_music.tiny import data, synth

if TYPE_CHECKING:
    from mech_music.tiny.evaluate import Subject

COMPONENTS = {"cross-attention": "cross_attention", "self-attention": "self_attn", "MLP": "linear2"}
_PAIRS = (("piano", "violin"), ("guitar", "trumpet"), ("classical", "rock"), ("jazz", "edm"))
_N = 30

# [step, layer, channel], the mean over the rows of the conditional half.
Means = Float[Tensor, "step layer channel"]


@contextmanager
def _hooked(
    subject: "Subject", attribute: str, means: list[Tensor] | None, record: list[Tensor] | None
) -> Iterator[None]:
    """Record the branch's outputs (one mean a call appended to `record`), or replace them by `means`, call by call."""
    calls = iter(means) if means is not None else None

    def hook(module: Any, inputs: Any, output: Any) -> Any:
        branch = output[0] if isinstance(output, tuple) else output
        rows = branch.shape[0] // 2
        if record is not None:
            record.append(branch[:rows].mean(0, keepdim=True))
        if calls is not None:
            branch = torch.cat([next(calls).expand(rows, -1, -1), branch[rows:]])
        return (branch, *output[1:]) if isinstance(output, tuple) else branch

    handles = [getattr(layer, attribute).register_forward_hook(hook) for layer in subject.model.lm.transformer.layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _odds(subject: "Subject", prompts: Sequence[Prompt], pair: tuple[Concept, Concept], seed: int) -> np.ndarray:
    """logit(desired) − logit(original) of the odds under the softmax, by clip."""
    audio = subject.decode(subject.generate(prompts, 3.0, seed, len(prompts)))
    logits = torch.cat([subject.listener.logits(part, synth.SAMPLE_RATE) for part in audio.split(4)])
    p = logits.double().softmax(1)
    original, desired = (torch.logit(p[:, concept.labels[0]]) for concept in pair)
    return (desired - original).numpy()


def _row(odds: np.ndarray) -> str:
    error = odds.std() / len(odds) ** 0.5
    flipped = (odds > 0).mean()
    return f"{odds.mean():+.1f} ± {error:.1f} nats, {100 * flipped:.0f} % flipped"


def measure(subject: "Subject", seed: int) -> Iterator[tuple[str, int, str]]:
    """Rows (name, clips, figure) for every pair: unedited, then each component replaced in all layers."""
    for names in _PAIRS:
        original, desired = (data.STUDY.concepts[name] for name in names)
        picks = np.linspace(0, 99, _N).round().astype(int)
        asked = [data.STUDY.concept_prompts(original, 100)[i] for i in picks]
        source = [data.STUDY.concept_prompts(desired, 100)[i] for i in picks]
        title = f"{names[0]} → {names[1]}"
        yield f"{title}, unedited", _N, _row(_odds(subject, asked, (original, desired), seed))
        for component, attribute in COMPONENTS.items():
            record: list[Tensor] = []
            with _hooked(subject, attribute, None, record):
                subject.generate(source, 3.0, seed + 1, len(source))
            with _hooked(subject, attribute, record, None):
                odds = _odds(subject, asked, (original, desired), seed)
            yield f"  all layers' {component} replaced", _N, _row(odds)
