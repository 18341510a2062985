"""The symbolic generator: kept keys and values, prompts, prefixes, files, and the engine on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.config.schema import EngineConfig, ModelConfig
from mech_music.edits.patch import Patch
from mech_music.edits.row import Edit, Mean, Prefix, Prompts, Row, Term
from mech_music.engine.engine import Engine
from mech_music.engine.passes import Settings
from mech_music.models.handle import LoadedModel, open_model
from mech_music.models.sampling import Sampling, sample_top_k
from mech_music.models.symbolic.bars import BarNats
from mech_music.models.symbolic.decoder import N_CONTROLS, Shape
from mech_music.models.symbolic.files import load_decoder, save_decoder
from mech_music.models.symbolic.listener import Notes
from mech_music.models.symbolic.relations import ATTENTION
from mech_music.store import Store
from tests.symbolic.made import made_decoder, made_symbolic

SAMPLING = Sampling(top_k=0)
PROMPTS = ["A major piece, dense.", "A minor piece in the key of E, in AABA form.", "Nothing."]


@pytest.mark.parametrize(
    ("tokens", "attention"), [*(("note", kind) for kind in ATTENTION), ("event", "circular-hadamard")]
)
def test_kept_keys_and_values_give_the_same_tokens(tokens: str, attention: str) -> None:
    """Every token is what an uncached pass over all before it draws with the same noise."""
    model = made_symbolic(tokens, attention, layers=2)
    prompts = PROMPTS * 3
    found = model.visit(prompts, (), lambda *_: None, seeds=range(9), duration=1.5, sampling=SAMPLING)
    assert len(found.unique(dim=0)) == 9
    noise = model.noise(prompts, range(9))
    for step in range(model.n_steps(1.5)):
        drawn, frame = noise(step), step - N_CONTROLS + 1
        if frame >= 0:
            logits = model.forced_logits(prompts, found[..., : frame + 1], SAMPLING)[:, :, -1]
            assert torch.equal(sample_top_k(logits, drawn, SAMPLING), found[..., frame])


def test_words_of_a_prompt_matter_and_others_do_not() -> None:
    model = made_symbolic()
    logits = [model.forced_logits(text, torch.zeros(1, 3, 4, dtype=torch.long)) for text in PROMPTS]
    assert not torch.equal(logits[0], logits[1]) and not torch.equal(logits[0], logits[2])
    same = model.forced_logits("Anything else.", torch.zeros(1, 3, 4, dtype=torch.long))
    assert torch.equal(same, logits[2])


def test_tokens_that_a_codebook_does_not_use_are_never_drawn() -> None:
    model = made_symbolic()
    found = model.visit(PROMPTS * 4, (), lambda *_: None, duration=2.0, sampling=SAMPLING)
    for book, size in enumerate(model.decoder.tokens.sizes):
        assert int(found[:, book].max()) < size


def test_longer_than_the_context_is_one_line() -> None:
    with pytest.raises(UserError, match="^duration=9 is 180 notes, more than the 40 of this model's context"):
        made_symbolic().n_frames(9)


# -- files -----------------------------------------------------------------------------------------------


def test_files_there_and_back(tmp_path: Path) -> None:
    save_decoder(made_decoder(), tmp_path)
    found = load_decoder(tmp_path)
    for (name, a), b in zip(made_decoder().state_dict().items(), found.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-3, msg=name)
    config = ModelConfig("mech_music.models.symbolic.handle.SymbolicModel", "mine", path=str(tmp_path), layers=3)
    right = {"heads": 3, "frame_rate": 5.0, "codebooks": 3, "delay": 5, "cross_attention": False}
    for key, value in right.items():
        setattr(config, key, value)
    opened = open_model(config, "cpu", 1)
    assert opened.model.fingerprint == opened.weights and opened.weights in opened.model_id
    config.delay = 3
    with pytest.raises(UserError, match="^model.delay=3, but this model has 5: set model.delay=5"):
        _ = open_model(config, "cpu", 1).model


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_broken_and_missing_files_are_one_line(tmp_path: Path, name: str) -> None:
    save_decoder(made_decoder(), tmp_path)
    (tmp_path / name).write_text("{")
    with pytest.raises(UserError, match=f"^the model in '{tmp_path}' cannot be read"):
        load_decoder(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=f"has no {name}: model.path is a folder with"):
        load_decoder(tmp_path)


def test_shapes_that_make_no_model_are_one_line() -> None:
    for shape, line in (
        (Shape(attention="circular"), "^unknown shape.attention 'circular'; did you mean circular-sum"),
        (Shape(layers=0), "^shape.layers=0: expected 1 or more"),
        (Shape(width=20), "^shape.width=20: expected a multiple of 2 · shape.heads = 8"),
    ):
        with pytest.raises(UserError, match=line):
            shape.check()


# -- under the engine --------------------------------------------------------------------------------------


def engine(folder: Path, pack: int = 0) -> Engine:
    listeners = {"notes": lambda: Notes(["major", "minor", "low", "high"]), "bars": lambda: BarNats(SAMPLING)}
    how = EngineConfig(pack=pack, workers=1)
    return Engine(LoadedModel(made_symbolic()), Store(folder), Settings(SAMPLING, 1.5), listeners, how, quiet=True)


def test_rows_edits_packing_and_readings(tmp_path: Path) -> None:
    """The same alone and packed, edits take effect, prefixes are kept; bars are read along the clip."""
    mean = Mean(Prompts.of(PROMPTS[:2]))
    edits = [
        (),
        (Edit("blocks.0.hook_mlp_out", 0.0, (Term(1.0, mean),)),),
        (Edit("blocks.1.attn.hook_z", 0.0, heads=(1,)),),
        (Patch("blocks.1.hook_attn_out", Row(PROMPTS[0], 5)),),
    ]
    wanted = [Row(prompt, seed, edit) for prompt in PROMPTS for seed in (0, 1) for edit in edits]
    wanted.append(Row(PROMPTS[0], 0, prefix=Prefix.of([[8, 3], [1, 2], [0, 1]])))
    whole = engine(tmp_path / "whole").answers(wanted, ("notes", "bars"))
    assert len({whole.tokens(row).tobytes() for row in wanted}) > 0.8 * len(wanted)
    assert whole.tokens(wanted[-1])[:, :2].tolist() == [[8, 3], [1, 2], [0, 1]]
    small = engine(tmp_path / "small", pack=8).answers(wanted, ("notes", "bars"))
    for row in wanted:
        assert np.array_equal(small.tokens(row), whole.tokens(row))
        for listener, name in (("notes", "logits"), ("bars", "nats")):
            one, other = (answers.reading(row, listener)[name] for answers in (small, whole))
            assert np.array_equal(one, other, equal_nan=True)
    check_bars(whole.tokens(wanted[0]), PROMPTS[0], whole.reading(wanted[0], "bars")["nats"])


def check_bars(tokens: np.ndarray, prompt: str, nats: np.ndarray) -> None:
    """Against one note after another."""
    model, frames = made_symbolic(), torch.from_numpy(tokens).long()
    logs = model.forced_logits(prompt, frames[None], SAMPLING)[0].log_softmax(-1)
    notes = model.decoder.tokens.decode(frames)
    for bar in range(model.decoder.grid.bars):
        own = [-float(sum(logs[book, at, frames[book, at]] for book in range(3)))
               for at, note in enumerate(notes) if note.bar == bar]  # fmt: skip
        assert np.isclose(nats[bar], np.mean(own), atol=1e-4) if own else np.isnan(nats[bar])
