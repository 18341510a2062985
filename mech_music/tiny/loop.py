"""The training loop that all three models share: it can be killed at any moment and continues to the same weights.

Nothing random outlives a step: every step seeds torch anew from (seed, stage, step), and whatever else it draws comes
from `generator(seed, stage, step)`.
"""

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from mech_music.tiny.config import LoopConfig
from mech_music.tiny.workspace import StageFolder

log = logging.getLogger(__name__)
_LOG_EVERY = 100
Item = TypeVar("Item")


def derive_seed(seed: int, stage: str, step: int) -> int:
    """A 32-bit seed for one step of one stage."""
    digest = hashlib.sha256(f"{seed}/{stage}/{step}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def generator(seed: int, stage: str, step: int) -> np.random.Generator:
    """The random stream of one step of one stage."""
    return np.random.default_rng(derive_seed(seed, stage, step) + 1)


def progress_bar() -> Progress:
    """The bar that every stage shows."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )  # fmt: skip


def tracked(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Go through `items` with a progress bar."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=len(items), loss="")
        for item in items:
            yield item
            bar.advance(task)


def _learning_rate(config: LoopConfig, step: int) -> float:
    warm_up = min(1.0, (step + 1) / max(1, config.warm_up))
    return config.learning_rate * warm_up * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))


def _optimizer(model: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    """AdamW, with weight decay on matrices only."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    beta1 = 0.8 if config.beta2 > 0.97 else 0.9
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(beta1, config.beta2), foreach=True)


def train(
    workspace: StageFolder,
    stage: str,
    model: nn.Module,
    config: LoopConfig,
    loss_of: Callable[[int], Tensor],
    watch: Callable[[], str] | None = None,
) -> None:
    """Train `model` in place for `config.steps` steps; `loss_of(step)` gives the scalar loss of one step.

    ``watch``: what to say of the model each time that it is saved; it changes nothing.
    Continues from the stage's checkpoint if there is one. Raises UserError if that checkpoint is of another config.
    """
    optimizer = _optimizer(model, config)
    first = 0
    if state := workspace.load_checkpoint(stage):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        log.info("%s continues at step %d of %d", stage, first, config.steps)
    model.train()
    with progress_bar() as bar:
        task = bar.add_task(stage, total=config.steps, completed=first, loss="")
        for step in range(first, config.steps):
            torch.manual_seed(derive_seed(workspace.seed, stage, step))
            loss = _step(model, optimizer, config, step, loss_of)
            bar.update(task, advance=1, loss=f"{loss:.3f}")
            if step % _LOG_EVERY == 0:
                log.info("%s step %d loss %.4f", stage, step, loss)
            if (step + 1) % config.save_every == 0:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                workspace.save_checkpoint(stage, state)
                if watch is not None:
                    log.info("%s step %d: %s", stage, step + 1, watch())
    model.eval()


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, config: LoopConfig, step: int, loss_of: Callable[[int], Tensor]
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = _learning_rate(config, step)
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(step)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()
