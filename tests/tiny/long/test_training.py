"""Training of tiny-long: stopped at any step it ends in the same bytes, and its bundle is loaded as any model is."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.models.musicgen.loading import load_model
from mech_music.prompts.declared import load_prompt_set
from mech_music.tiny import language_model as shared
from mech_music.tiny import loop
from mech_music.tiny.long import data, language_model, short, train
from mech_music.tiny.long.announced import other_cadence, other_form
from mech_music.tiny.long.arranged import Trainer, arranged, misread
from mech_music.tiny.long.attention import in_bfloat16
from mech_music.tiny.long.composition import HELD_OUT, Asked, compose
from mech_music.tiny.long.config import StageName
from mech_music.tiny.long.context import judge, judged_frames, swap
from mech_music.tiny.long.data import Workspace
from mech_music.tiny.long.forms import TOLD, TOLD_FORMS
from mech_music.tiny.long.language_model import looped, repeated
from mech_music.tiny.long.ngram import NGram
from mech_music.tiny.long.planted import PlantedPieces, composed
from mech_music.tiny.long.sound import render
from tests.tiny.long.conftest import micro


def test_a_run_stopped_in_every_stage_ends_in_the_same_bytes(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole_step = micro(tmp_path), loop._step
    loops = {"codec": config.codec.loop, "loops": config.loops, "refined": config.refined, "told": config.told}
    loops |= {"language_model": config.language_model.loop, "forms": config.forms.loop}
    loops["corrected"] = config.corrected.loop
    stage = ""

    def failing_step(model, optimizer, settings, step, loss_of):
        if step == 5 and settings is loops[stage]:
            raise KeyboardInterrupt
        return whole_step(model, optimizer, settings, step, loss_of)

    monkeypatch.setattr(loop, "_step", failing_step)
    for stage in ("codec", "loops", "language_model", "refined", "told", "forms", "corrected"):
        with pytest.raises(KeyboardInterrupt):
            train.run(config)
        assert torch.load(tmp_path / f"{stage}.checkpoint.pt", weights_only=True)["step"] == 4
    monkeypatch.undo()
    train.run(config)
    results = ("codec", "codes", "loops", "language_model", "refined", "told", "forms", "corrected")
    for name in (*(f"{name}.safetensors" for name in results), "bundle/state_dict.bin"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def test_what_each_kind_of_section_costs_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train.run(micro(tmp_path))
    said = [line for line in caplog.messages if "nats a frame" in line]
    assert len(said) == 18 and all("exact" in line and "decoy" in line for line in said)


def test_the_baseline_is_trained_on_four_seconds_and_judges_every_frame(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    config = micro(folder)
    config.stages = [StageName.short]
    train.run(config)
    codes = torch.randint(0, 16, (2, 4, 320))
    prompts = [compose(number).prompt for number in range(2)]
    nats = short.losses(Workspace(config), codes, prompts)
    assert nats.shape == codes.shape and (nats[:, 0] > 0).all()
    far = codes.clone()
    far[:, :, 100] = (far[:, :, 100] + 1) % 16
    changed = (short.losses(Workspace(config), far, prompts) != nats).any((0, 1))
    assert changed[101:110].any() and not changed[:100].any() and not changed[101 + short.CONTEXT :].any()


def test_lessons_repeat_a_pieces_own_tokens() -> None:
    random = np.random.default_rng(0)
    for number in range(30):
        piece, codes = compose(number), torch.arange(320).repeat(4, 1)
        size = piece.annotated[0].end
        found = repeated(codes, piece, random)[0]
        assert found.shape == (320,) and torch.equal(found[:size], torch.arange(size))
        starts = found[: size * len(piece.sections) : size]
        assert (starts % size == 0).all() and len(set(starts.tolist())) < len(starts) + 1
        loop_of = looped(codes, piece, 96, 4, random)[0]
        period = int((loop_of == loop_of[0]).nonzero()[1])
        assert period in (2 * piece.beat, 3 * piece.beat, 4 * piece.beat) and loop_of.shape == (96,)
        assert torch.equal(loop_of[period:], loop_of[:-period]) and loop_of[0] % piece.beat == 0


def test_a_folder_of_another_config_and_a_senseless_number_are_refused(finished: Path, tmp_path: Path) -> None:
    config = micro(finished)
    config.codec.dimension = 4
    with pytest.raises(UserError, match=r"codec\.json was trained with another config \(codec differ\)"):
        train.run(config)
    config = micro(tmp_path)
    config.pieces.train = 0
    with pytest.raises(UserError, match=r"pieces\.train=0: must be at least 1"):
        train.run(config)
    config = micro(tmp_path)
    config.stages = [StageName.codec]
    with pytest.raises(UserError, match=r"stage corpus is not done in .*: add it to stages"):
        train.run(config)


def test_prompts_have_their_lengths_and_no_unknown_word() -> None:
    tokenizer, first = map(shared.text_encoder.make_tokenizer, (data.vocabulary(), data.first_vocabulary()))
    for piece in map(compose, range(200)):
        told, ids = piece.regime == TOLD, tokenizer(piece.prompt)["input_ids"]
        assert len(ids) == (language_model.FORM_LENGTH if told else language_model.UNTOLD_LENGTH)
        assert tokenizer.unk_token_id not in ids
        ids = first(piece.first_prompt)["input_ids"]
        assert len(ids) == language_model.FIRST_LENGTH and first.unk_token_id not in ids
    study = load_prompt_set("long")
    for form in study.categories["form"].words:
        prompt = study.fill({"tempo": "slow", "instrument": "piano", "form": form}).text
        assert tokenizer.unk_token_id not in tokenizer(prompt)["input_ids"]
    told = {compose(number, Asked(TOLD)).prompt.partition(": ")[2] for number in range(200)}
    assert told == set(study.categories["form"].words) - {"free", "cued"}


def test_what_is_put_together_is_what_its_prompt_says() -> None:
    random = np.random.default_rng(0)
    for piece in map(compose, range(60)):
        size, n = piece.annotated[0].end, len(piece.sections)
        codes, prompt, order = arranged(torch.arange(320).repeat(4, 1), piece, random)
        assert order == [int(codes[0, at * size]) // size for at in range(n)]
        like = [int(word.split("=")[1]) - 1 for word in prompt.partition(": ")[2].split()]
        assert len(like) == 6 and codes.shape == (4, 320)
        sections = [codes[0, at * size : (at + 1) * size] for at in range(n)]
        for at, (section, source) in enumerate(zip(sections, like, strict=False)):
            assert torch.equal(section, sections[source]) and source <= at
            played = [piece.sections[int(one[0]) // size].music for one in sections[:at]]
            assert (piece.sections[int(section[0]) // size].music in played) is (source < at), "a new one is new"


def test_returns_are_read_with_wrong_tokens_from_their_piece_and_new_sections_as_they_are() -> None:
    random, size = np.random.default_rng(0), 64
    codes = torch.arange(320).repeat(4, 1)
    shares, false_starts, one_book = [], 0, 0
    for _ in range(200):
        read = misread(codes, [0, 3, 0, 3, 1], size, 0.08, random)
        for at, returns in enumerate((False, False, True, True, False)):
            own, right = (each[:, at * size : (at + 1) * size] for each in (read, codes))
            if not returns:
                assert torch.equal(own, right)
                continue
            wrong = own != right
            shares.append(float(wrong.float().mean()))
            # Wrong from the first frame on: the beginning of a section that is not the one that returns.
            false_starts += int(own[0, 0]) % size == 0 and bool(wrong[:, 0].all())
            one_book += int((wrong.sum(0) == 1).sum())
            assert wrong.any(0).float().mean() < 0.9
    assert 0.1 < np.mean(shares) < 0.3 and 100 < false_starts < 240 and one_book > 500
    assert torch.equal(codes, torch.arange(320).repeat(4, 1)), "what is to be told is not changed"


def test_what_is_told_is_right_and_what_is_read_is_wrong(finished: Path) -> None:
    workspace = Workspace(micro(finished))
    model = load_model(path=str(finished / "bundle"), device="cpu").musicgen.lm
    codes = workspace.load_tensors("codes")["train"]
    trainer, changed = Trainer(workspace, "corrected", workspace.config.corrected, model, codes), 0
    plain = Trainer(workspace, "forms", workspace.config.forms, model, codes)
    for row in range(len(codes)):
        as_it_is = trainer._example(row, 1.0, np.random.default_rng(row))
        assert torch.equal(as_it_is.codes, codes[row].long()) and torch.equal(as_it_is.read, as_it_is.codes)
        example, other = (one._example(row, 0.0, np.random.default_rng(row)) for one in (trainer, plain))
        assert torch.equal(example.codes, other.codes) and torch.equal(other.read, other.codes)
        changed += int((example.read != example.codes).sum())
    assert changed > 0


def test_first_beats_weigh_more(finished: Path) -> None:
    """The loss that is trained is the weighted mean; weights of one for all frames give the plain one."""
    workspace = Workspace(micro(finished))
    model = load_model(path=str(finished / "bundle"), device="cpu").musicgen.lm
    trainer = Trainer(workspace, "forms", workspace.config.forms, model, workspace.load_tensors("codes")["train"])
    example = trainer._example(3, 0.0, np.random.default_rng(0))
    starts = [section.start for section in trainer.pieces[3].annotated[1:]]
    assert np.flatnonzero(example.weights == workspace.config.forms.weight).tolist() == [
        start + offset for start in starts for offset in range(4)
    ]
    with torch.no_grad():
        weighted = float(trainer.loss(5))
        trainer.how.weight = 1.0
        assert 0 < float(trainer.loss(5)) != weighted > 0


def test_the_loss_of_training_is_the_models_own_and_its_attention_causal(finished: Path) -> None:
    model = load_model(path=str(finished / "bundle"), device="cpu").musicgen.lm
    codes, prompts = torch.randint(0, 16, (2, 4, 40)), [compose(number).prompt for number in range(2)]
    text = language_model.encoded(model, prompts)
    loss, valid = shared.token_losses(model, codes, text)
    assert torch.isclose(language_model.loss_of(model, codes, text), loss.sum() / valid.sum(), atol=0.02)
    with in_bfloat16():
        low = language_model.losses(model, codes, prompts)
        changed = codes.clone()
        changed[:, :, 30:] = (changed[:, :, 30:] + 1) % 16
        later = language_model.losses(model, changed, prompts)
    high = language_model.losses(model, codes, prompts)
    assert np.abs(low - high).max() < 0.1 and np.array_equal(low[:, :, :27], later[:, :, :27])
    assert not np.array_equal(low[:, :, 31:35], later[:, :, 31:35])


def test_gradients_of_the_attention_are_those_of_torchs_own() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 30, 8, requires_grad=True) for _ in range(3))

    def gradients() -> list[torch.Tensor]:
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return list(torch.autograd.grad(out.float().square().sum(), (q, k, v)))

    with in_bfloat16():
        ours = gradients()
    for one, own in zip(ours, gradients(), strict=True):
        assert (one - own).norm() / own.norm() < 0.02


# -- pieces for tasks --------------------------------------------------------------------------------


def test_planted_pieces_are_held_out_and_named_by_what_decides_them(finished: Path) -> None:
    model = load_model(path=str(finished / "bundle"), device="cpu")
    blind, every = PlantedPieces(["blind"]), PlantedPieces()
    assert blind.id != every.id == PlantedPieces(["blind", "told", "hinted"]).id
    pieces = blind.load(3, model)
    assert [piece.regime for piece in pieces] == ["blind"] * 3 and len({piece.track for piece in pieces}) == 3
    for piece in pieces:
        own = composed(piece.name)
        assert own.number >= HELD_OUT and piece.sections == own.annotated and piece.prompt == own.prompt
        assert piece.codes.shape == (4, 320) and piece.beats == own.beats
    again = blind.load(2, model)
    assert all(np.array_equal(one.codes, other.codes) for one, other in zip(pieces, again, strict=False))


def test_what_planted_pieces_cannot_be_is_one_line(finished: Path) -> None:
    with pytest.raises(UserError, match="pieces=planted: unknown regime 'bold'"):
        PlantedPieces(["bold"])
    with pytest.raises(UserError, match=r"regimes=\[\]: name at least one of told, hinted, blind"):
        PlantedPieces([])
    with pytest.raises(UserError, match="12.5 frames a second and this model 25: use model=tiny-long"):
        PlantedPieces().load(1, load_model(device="cpu"))


# -- evidence ----------------------------------------------------------------------------------------


def test_a_swap_replaces_what_the_section_returns_to_and_nothing_else() -> None:
    for number in range(60):
        piece = compose(number, Asked("blind"))
        target = len(piece.sections) - 1
        source, swapped = piece.sections[target].source, swap(piece, target)
        changed = [at for at, (a, b) in enumerate(zip(piece.sections, swapped.sections, strict=True)) if a != b]
        letters = {piece.sections[at].letter for at in changed}
        assert len(letters) == 1 and target not in changed
        assert changed == [at for at in range(target) if piece.sections[at].letter in letters]
        if source is not None:
            assert letters == {piece.sections[source].letter}
        for at in changed:
            one, other = piece.sections[at].music, swapped.sections[at].music
            assert (one.key, one.instrument) == (other.key, other.instrument) and one.melody != other.melody


def test_a_copying_model_gains_from_true_sources_of_exact_returns_alone() -> None:
    """Judged with a made-up model whose every token costs 0 where the frame a source ago has the same, else 1."""
    pieces = [compose(HELD_OUT + number) for number in range(12)]

    def encode(audio: np.ndarray) -> torch.Tensor:
        level = torch.from_numpy(audio).unflatten(1, (320, 1280))
        return (level.abs().sum(-1, keepdim=True) * 1000).long().expand(-1, -1, 4).transpose(1, 2)

    def losses(codes: torch.Tensor, prompts: object) -> np.ndarray:
        seen = torch.stack([(codes[:, :, :at] == codes[:, :, at : at + 1]).any(-1) for at in range(1, 320)], -1)
        return np.concatenate([np.ones((len(codes), 4, 1)), 1.0 - seen.float().numpy()], axis=-1)

    found = list(judge(pieces, encode, losses))
    exact = [one for one in found if one.kind == "exact"]
    others = [one for one in found if one.kind in ("new", "decoy")]
    assert len(exact) > 5 and len(others) > 5
    assert all((one.true == 0).all() for one in exact)
    assert np.mean([one.swapped - one.true for one in exact]) > 0.5
    assert abs(np.mean([one.swapped - one.true for one in others])) < 0.2


def test_another_announcement_says_another_thing_and_leaves_the_past() -> None:
    for number in range(40):
        piece = compose(number, Asked("told"))
        for target in range(1, len(piece.sections)):
            other = other_form(piece, target)
            assert other[target] != piece.form[target] and other in TOLD_FORMS
        piece = compose(number, Asked("hinted"))
        was, now = render(piece), render(other_cadence(piece, 1))
        changed = np.flatnonzero(was != now) // 1280
        end = piece.annotated[0].end
        assert end - 2 * piece.beat <= changed.min() and changed.max() < end


def test_judged_frames_are_a_sections_own_without_its_first_frame_and_its_cadence() -> None:
    piece = compose(1)
    frames, notes = judged_frames(piece, 2)
    section = piece.annotated[2]
    assert np.flatnonzero(frames).tolist() == list(range(section.start + 1, section.start + 6 * piece.beat))
    assert notes.sum() == sum(map(int, piece.sections[2].music.rhythm[:6])) - 1 and not notes[~frames].any()


def test_an_n_gram_learns_what_follows_and_no_more() -> None:
    random = np.random.default_rng(0)
    line = np.resize([0, 1, 2, 3], (50, 40))
    assert NGram(2, 4).fit(line).losses(line[:1])[0, 2:].max() < 0.05
    noise = random.integers(4, size=(200, 60))
    assert abs(NGram(1, 4).fit(noise[:150]).losses(noise[150:]).mean() - np.log(4)) < 0.02
