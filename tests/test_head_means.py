"""Means of heads: recorded where heads are side by side, beside those of the stream and apart from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mech_music.activations.rows import RowRecorder
from mech_music.edits.row import Edit, Row, Term
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from tests.made_engine import engine, mean

Z = "blocks.1.cross_attn.hook_z"


def test_they_are_those_of_the_clips_own_heads(made: HookedMusicGen, tmp_path: Path) -> None:
    own = engine(made, tmp_path)
    source, hook = mean("piano", 3, heads=True), Hook.parse(Z)
    plain = replace(source, heads=False)
    row = Row(source.prompts.texts[0], 0, (Edit(Z, 0.0, (Term(1.0, source),), heads=(1,)),))
    own.ensure([row, source, plain])
    rows = [Row(text, 0) for text in source.prompts.texts]
    seen: dict = {}
    for pack in own.passes.packs(rows, 8):
        recorder = RowRecorder(pack, made.select_hooks(Z))
        own.passes.observe(pack, made.select_hooks(Z), recorder.see, lambda _: None)
        seen |= recorder.values
    wanted = torch.stack([torch.stack(list(seen[one, hook]))[:, :, 0] for one in rows]).mean(0)
    torch.testing.assert_close(own.passes.recording.resolve(source, Z), wanted, atol=1e-6, rtol=1e-5)
    assert "blocks.1.hook_mlp_out" in own.passes.recording.get(plain)
    with pytest.raises(Exception, match=r"means are taken at attn_out, .* cross_attn.z"):
        own.passes.recording.resolve(plain, Z)
