"""Training of one SAE, step by step: the same bytes each time on a CPU, also when it was stopped in between.

Inputs are normalised by a mean and one scale, so that a vector's mean squared length is its width; decoder rows have
length 1. What is saved works on the hook's own values, and activations are in their unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.saes.named import SaeFit, Training
from mech_music.saes.objectives import JumpRelu, Step, dead_loss, errors_of_nested, keep_top_of_batch
from mech_music.saes.sae import About, Activation, Sae, keep_top

_WARM_UP, _DECAY = 0.05, 0.2  # shares of the steps in which the rate rises to its full height, and falls to 0
_DEAD_AFTER = 100  # steps without firing
_BETAS = (0.9, 0.999)
_THRESHOLD_MEMORY = 0.99  # of the running mean of batchtopk's threshold
_START_THRESHOLD = 0.01
_NESTED = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # shares of the features that make do alone, of matryoshka
_NOTED_EVERY = 20  # steps
_AT_ONCE = 2**16  # vectors of which sums are taken at once
FIGURES = ("step", "fvu", "l0", "dead", "loss")
"""What is noted of training now and then, of a batch each."""


@dataclass(frozen=True)
class Scale:
    """``(x − mean) / scale`` is what an SAE is trained on."""

    mean: Float32[Tensor, " width"]
    scale: float

    @classmethod
    def of(cls, vectors: Float32[Tensor, "vector width"], hook: str) -> Scale:
        """From many vectors, in two passes. UserError for values that are not finite or do not vary."""
        parts = vectors.split(_AT_ONCE)
        mean = torch.stack([part.sum(0, dtype=torch.float64) for part in parts]).sum(0) / len(vectors)
        squares = [float((part.double() - mean).square().sum()) for part in parts]
        spread = (sum(squares) / vectors.numel()) ** 0.5
        if not math.isfinite(spread):
            raise UserError(f"the activations of {hook} are not finite: an SAE cannot be trained on them")
        if spread <= 1e-6 * float(mean.abs().max()) or spread == 0:
            raise UserError(f"the activations of {hook} are constant: there is nothing for an SAE to learn")
        return cls(mean.float(), spread)

    def __call__(self, vectors: Float[Tensor, "vector width"]) -> Float[Tensor, "vector width"]:
        return (vectors - self.mean) / self.scale


class Trainer:
    """One SAE in training. ``figures``: how it stands, of the latest step: fvu, l0, dead (a share), loss. ``history``:
    the same of every 20th step (`FIGURES`)."""

    def __init__(self, fit: SaeFit, scale: Scale, n_steps: int, device: torch.device) -> None:
        width = len(scale.mean)
        self._fit, self._scale, self._n_steps = fit, Scale(scale.mean.to(device), scale.scale), n_steps
        generator = torch.Generator().manual_seed(fit.seed)
        decoder = torch.nn.functional.normalize(torch.randn(fit.n_features, width, generator=generator), dim=1)
        decoder = decoder.to(device)
        self._of = {
            "W_enc": decoder.T.clone().contiguous(),
            "b_enc": torch.zeros(fit.n_features, device=device),
            "W_dec": decoder,
            "b_dec": torch.zeros(width, device=device),
        }
        if fit.training is Training.jumprelu:
            self._of["threshold"] = torch.full((fit.n_features,), _START_THRESHOLD, device=device)
        for tensor in self._of.values():
            tensor.requires_grad_(True)
        self._optimizer = torch.optim.Adam(list(self._of.values()), lr=fit.rate, betas=_BETAS)
        self._idle = torch.zeros(fit.n_features, device=device)  # steps since each feature fired
        self._edge = torch.zeros((), device=device)  # the running threshold of batchtopk
        whole = [max(1, round(share * fit.n_features)) for share in _NESTED]
        self._ends = list(dict.fromkeys(whole)) if fit.training is Training.matryoshka else [fit.n_features]
        self.done = 0
        self.figures: dict[str, float] = {}
        self.history: list[list[float]] = []

    def step(self, vectors: Float32[Tensor, "vector width"]) -> None:
        """One batch of the hook's own values."""
        of = self._of
        z = self._scale(vectors.to(self._idle.device))
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self._fit.compute == "bfloat16"):
            centred = z - of["b_dec"]
            pre = centred @ of["W_enc"] + of["b_enc"]
            features = self._features(pre)
            errors = errors_of_nested(centred, features, of["W_dec"], self._ends)
            lost = dead_loss(pre, errors[-1], of["W_dec"], self._idle >= _DEAD_AFTER)
        total = (z - z.mean(0)).square().sum()
        unexplained = torch.stack([error.square().sum() for error in errors]) / total
        loss = unexplained.mean() + self._penalty(pre, features) + lost
        self._optimizer.zero_grad()
        loss.backward()
        self._update()
        self._note(features.detach(), unexplained[-1], loss)

    def _features(self, pre: Tensor) -> Tensor:
        match self._fit.training:
            case Training.topk:
                return keep_top(pre, self._fit.k)
            case Training.batchtopk | Training.matryoshka:
                return keep_top_of_batch(pre, self._fit.k)
            case Training.relu:
                return pre.relu()
            case Training.jumprelu:
                return JumpRelu.apply(pre.relu(), self._of["threshold"])  # pyright: ignore[reportReturnType]

    def _penalty(self, pre: Tensor, features: Tensor) -> Tensor:
        """Rises from 0 with the rate, so that features are found before they are counted."""
        weight = self._fit.sparsity * min(1.0, (self.done + 1) / (4 * _WARM_UP * self._n_steps)) / pre.shape[1] ** 0.5
        if self._fit.training is Training.relu:
            return weight * features.sum(1).mean()
        if self._fit.training is Training.jumprelu:
            active: Tensor = Step.apply(pre, self._of["threshold"])  # pyright: ignore[reportAssignmentType]
            return weight * active.sum(1).mean()
        return features.new_zeros(())

    def _update(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._fit.rate * self._share()
        decoder = self._of["W_dec"]
        assert decoder.grad is not None
        with torch.no_grad():  # rows stay of length 1: what would change it is taken off the gradient
            decoder.grad -= (decoder.grad * decoder).sum(1, keepdim=True) * decoder
        self._optimizer.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
            if "threshold" in self._of:
                self._of["threshold"].clamp_(min=1e-4)
        self.done += 1

    def _share(self) -> float:
        """Of the full rate: a rise, then a fall in the end."""
        done = (self.done + 1) / self._n_steps
        return min(1.0, done / _WARM_UP, max(0.0, (1 - done) / _DECAY) + 1 / self._n_steps)

    @torch.no_grad()
    def _note(self, features: Tensor, fvu: Tensor, loss: Tensor) -> None:
        fired = features > 0
        self._idle = torch.where(fired.any(0), 0.0, self._idle + 1)
        if self._fit.training.batchwise and fired.any():
            self._edge = _THRESHOLD_MEMORY * self._edge + (1 - _THRESHOLD_MEMORY) * features[fired].min().float()
        if not math.isfinite(value := float(loss)):
            raise UserError(f"training fell apart (loss {value}) at step {self.done}: use a smaller sae.rate")
        self.figures = {
            "fvu": float(fvu),
            "l0": float(fired.sum(1).float().mean()),
            "dead": float((self._idle >= _DEAD_AFTER).float().mean()),
            "loss": value,
        }
        if self.done % _NOTED_EVERY == 0 or self.done == self._n_steps:
            self.history.append([float(self.done), *(self.figures[name] for name in FIGURES[1:])])

    # -- what is left of it ----------------------------------------------------------------------------------

    @torch.no_grad()
    def sae(self, about: About | None = None) -> Sae:
        """As it is now, working on the hook's own values."""
        of, scale = {name: tensor.detach().clone().cpu() for name, tensor in self._of.items()}, self._scale.scale
        n = self._fit.n_features
        threshold = of.get("threshold")
        if self._fit.training.batchwise:
            threshold = (self._edge / (1 - _THRESHOLD_MEMORY**self.done)).cpu().expand(n)
        names = {Training.topk: Activation.topk, Training.relu: Activation.relu}
        return Sae(
            W_enc=of["W_enc"],
            b_enc=of["b_enc"] * scale,
            W_dec=of["W_dec"],
            b_dec=of["b_dec"] * scale + self._scale.mean.cpu(),
            activation=names.get(self._fit.training, Activation.jumprelu),
            k=self._fit.k if self._fit.training is Training.topk else 0,
            threshold=None if threshold is None else (threshold * scale).clone(),
            about=about or About(),
        )

    def state(self) -> dict[str, Tensor]:
        """Everything that the next steps depend on."""
        found = {f"of.{name}": tensor.detach() for name, tensor in self._of.items()}
        for name, tensor in self._of.items():
            found |= {f"adam.{name}.{part}": value for part, value in self._optimizer.state[tensor].items()}
        noted = torch.tensor(self.history, dtype=torch.float64).reshape(-1, len(FIGURES))
        return found | {"idle": self._idle, "edge": self._edge, "done": torch.tensor(self.done), "history": noted}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        written = self._optimizer.state_dict()
        for number, (name, tensor) in enumerate(self._of.items()):
            tensor.copy_(state[f"of.{name}"])
            parts = {key.rpartition(".")[2]: value for key, value in state.items() if key.startswith(f"adam.{name}.")}
            if parts:
                written["state"][number] = parts
        self._optimizer.load_state_dict(written)
        self._idle, self._edge = (state[name].to(self._idle.device).clone() for name in ("idle", "edge"))
        self.done, self.history = int(state["done"]), state["history"].tolist()
