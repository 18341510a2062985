"""Whether an SAE is of the hook that its name is taken for: FVU there and beside it, by hand; and the one line that
says so. With the bundled model, where an SAE is saved under the name of the next layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from mech_music.activations.shards import OnDisk, save_stream
from mech_music.activations.streams import Chunk
from mech_music.edits.row import Row
from mech_music.saes.neighbours import hook_table, neighbours, unexplained_at, warn_if_elsewhere
from mech_music.saes.sae import Activation, Sae

HERE, NEXT = "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"


def test_neighbours() -> None:
    assert neighbours(HERE, 4) == ("blocks.0.hook_resid_post", NEXT)
    assert neighbours("blocks.0.hook_resid_post", 4) == ("blocks.0.hook_resid_pre", HERE)
    assert neighbours("blocks.3.hook_mlp_out", 4) == ("blocks.2.hook_mlp_out",)


class MadeStream:
    """Two chunks of three clips: at the first hook the SAE explains everything but noise, at the second nothing."""

    about: ClassVar[dict[str, str]] = {"source": "made"}

    def __len__(self) -> int:
        return 2

    def chunk(self, number: int) -> Chunk:
        draw = torch.Generator().manual_seed(number)
        good, bad = torch.zeros(3, 5, 2, 4), torch.zeros(3, 5, 2, 4)
        good[..., :2] = torch.rand(3, 5, 2, 2, generator=draw)
        bad[..., 2:] = torch.rand(3, 5, 2, 2, generator=draw)
        noise = 0.1 * torch.randn(3, 5, 2, 4, generator=draw)
        return Chunk([Row("a", 3 * number + clip) for clip in range(3)], {HERE: good + noise, NEXT: bad + noise})


def two_directions() -> Sae:
    """The first two axes, as they are."""
    eye = torch.eye(2, 4)
    return Sae(eye.T.contiguous(), torch.zeros(2), eye, torch.zeros(4), Activation.relu)


def test_fvu_by_hand_and_the_line(tmp_path: Path) -> None:
    save_stream(MadeStream(), tmp_path, dtype="float32")  # pyright: ignore[reportArgumentType]
    sae = two_directions()
    found = unexplained_at(sae, (NEXT, HERE), 7, OnDisk(tmp_path))
    for hook in (HERE, NEXT):
        x = torch.cat([MadeStream().chunk(n).values[hook][:, :, 0].flatten(0, 1) for n in range(2)])
        wanted = (x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()
        assert np.nanmean(found[hook]) == pytest.approx(float(wanted), rel=1e-5)
        assert np.isnan(found[hook][6]), "a clip that failed"
    record = {f"fvu {hook}": values for hook, values in found.items()}
    table = hook_table(record, NEXT)
    assert list(table["hook"]) == [NEXT, HERE] and next(iter(table["more"])) == 0
    line = warn_if_elsewhere(table, "hook_layers.2")
    assert line is not None and f"say sae.hook={HERE} and its layer" in line and "written for hook_layers.2" in line
    assert warn_if_elsewhere(hook_table(record, HERE), "hook_layers.1") is None


def test_a_difference_within_chance_is_no_reason() -> None:
    draw = np.random.default_rng(0)
    own = 0.3 + 0.05 * draw.standard_normal(16)
    other = own - 0.002 + 0.05 * draw.standard_normal(16)
    assert warn_if_elsewhere(hook_table({f"fvu {HERE}": own, f"fvu {NEXT}": other}, HERE), "") is None


@pytest.mark.slow
def test_an_sae_saved_under_the_name_of_the_next_layer_is_found_out(tmp_path: Path) -> None:
    """By the command, on the bundled model."""
    from tests.saes.running import run_sae

    small = ("sae.clips=60", "sae.held_out=20", "sae.spliced=2", "sae.epochs=8", "duration=2")
    made = run_sae(tmp_path / "made", tmp_path / "store", "layer=4", *small)
    folder = made / "saes" / "blocks.4.hook_resid_post"
    right = run_sae(tmp_path / "right", tmp_path / "store", "layer=4", f"sae.path={folder}", *small)
    assert _hooks_by_fvu(right)[0] == "blocks.4.hook_resid_post"
    assert "probably of that one" not in (right / "said.txt").read_text()
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"] |= {"hook_name": "hook_layers.5"}
    (folder / "cfg.json").write_text(json.dumps(config))
    off = run_sae(tmp_path / "off", tmp_path / "store", "layer=5", f"sae.path={folder}", *small)
    assert _hooks_by_fvu(off)[0] == "blocks.4.hook_resid_post"
    assert "say sae.hook=blocks.4.hook_resid_post and its layer" in " ".join((off / "said.txt").read_text().split())
    moved = ("layer=4", "sae.hook=blocks.4.hook_resid_post", f"sae.path={folder}", *small)
    assert _hooks_by_fvu(run_sae(tmp_path / "moved", tmp_path / "store", *moved))[0] == "blocks.4.hook_resid_post"


def _hooks_by_fvu(job: Path) -> list[str]:
    """The best explained first."""
    return list(pd.read_csv(job / "hook.csv").sort_values("fvu")["hook"])
