"""Made (untrained) checkpoints of the published classifiers, in the files and keys in which they are published."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mech_music.base.quiet import quiet_imports
from mech_music.listeners import passt

ARCHITECTURE = "passt_s_swa_p16_128_ap476"
SMALL: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}


def noise(clips: int, seconds: float, rate: int) -> Tensor:
    """Clips of noise, each with another loudness, that fade out."""
    random = torch.Generator().manual_seed(0)
    clip = torch.randn(clips, int(seconds * rate), generator=random)
    return clip * torch.linspace(0.01, 0.5, clips)[:, None] * torch.linspace(1.0, 0.01, clip.shape[1])


def shrink_passt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hear21passt build its published network, and ours, with few and narrow layers; nothing else changes."""
    from dataclasses import replace

    from hear21passt.models import passt as theirs

    small = partial(theirs._create_vision_transformer, ARCHITECTURE, distilled=True, patch_size=16, **SMALL)
    monkeypatch.setattr(theirs, ARCHITECTURE, small)
    shape = replace(passt.PUBLISHED, width=SMALL["embed_dim"], depth=SMALL["depth"], heads=SMALL["num_heads"])
    monkeypatch.setattr(passt, "PUBLISHED", shape)


def make_passt(cache: Path) -> Path:
    """A state dict of hear21passt's network under ``cache``, torch.hub's folder, where its loader looks for it."""
    from hear21passt.models.passt import default_cfgs, get_model

    with quiet_imports(), torch.random.fork_rng():
        torch.manual_seed(0)
        weights = get_model(ARCHITECTURE, pretrained=False).state_dict()
    path = cache / "checkpoints" / default_cfgs[ARCHITECTURE]["url"].rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(weights, path)
    return path


def make_ast(folder: Path, names: Sequence[str]) -> Path:
    """A folder as transformers publishes its AST: config with ``id2label``, extractor, safetensors."""
    with quiet_imports(), torch.random.fork_rng():
        from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

        torch.manual_seed(0)
        config = ASTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
        config.id2label = dict(enumerate(names))
        config.label2id = {name: column for column, name in enumerate(names)}
        net = ASTForAudioClassification(config)
        for weights in net.parameters():  # transformers starts some at zero, and all near it
            torch.nn.init.normal_(weights, std=0.5)
        net.save_pretrained(folder)
        ASTFeatureExtractor().save_pretrained(folder)
    return folder
