"""Rows in, outcomes out: the same whatever the packing, the order, the process and the store."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.base.machine import is_out_of_memory
from mech_music.edits.row import Edit, Exit, Half, History, Mean, Prompts, RandomDirection, Reading, Row, Term
from mech_music.engine.engine import Engine
from mech_music.engine.passes import sources_of
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.store import Store
from tests.made_engine import FIT, SHORT, STUDY, Outcome, engine, mean

GUITAR, PIANO = mean("guitar", 3), mean("piano", 3)


def mixed_rows() -> list[Row]:
    """Every kind of edit and of exit, on prompts of several lengths."""
    mean = (Term(1.0, PIANO),)
    adjust = (Term(1.0, PIANO), Term(-1.0, GUITAR))
    edits: list[tuple[Edit | RandomDirection, ...]] = [
        (),
        (Edit("blocks.0.hook_mlp_out", 0.0, mean),),
        (Edit("blocks.1.hook_attn_out", 1.0, adjust, half=Half.cond),),
        (Edit("blocks.2.hook_cross_attn_out", 0.0, mean, frames=(3, 8)),),
        (RandomDirection(Edit("blocks.1.hook_mlp_out", 1.0, adjust), 5),),
        (Edit("blocks.2.hook_resid_post", 0.5),),
        (Edit("blocks.0.hook_mlp_out", 0.0), Edit("blocks.0.hook_mlp_out", 1.0, mean)),
        tuple(Edit(f"blocks.{layer}.hook_cross_attn_out", 0.0, mean) for layer in range(3)),
    ]
    prompts = ["Compose a happy rock piece.", "Play.", "Compose a happy jazz piece."]
    rows = [Row(prompt, seed, edit) for prompt in prompts for seed in (0, 1) for edit in edits]
    exits = [
        (Exit("blocks.1.hook_resid_post"), edits[0]),
        (Exit("blocks.0.hook_resid_mid"), edits[1]),
        (Exit("blocks.1.hook_resid_mid_cross", lens=FIT), edits[2]),
        (Exit("blocks.0.hook_resid_post", Reading.forced), edits[0]),
        (Exit("blocks.1.hook_resid_post", Reading.forced), edits[0]),
        (Exit("blocks.1.hook_resid_mid_cross", Reading.forced, FIT), edits[2]),
    ]
    return rows + [Row(prompt, seed, edit, leave) for prompt in prompts for seed in (0, 1) for leave, edit in exits]


def once(reference: dict[Row, Outcome]) -> dict[Row, Outcome]:
    """Every kind of edit and of exit with one seed, where it is not the number of rows that matters."""
    return {row: outcome for row, outcome in reference.items() if row.seed == 0}


def same(a: Mapping[Row, Outcome], b: Mapping[Row, Outcome]) -> bool:
    return a.keys() == b.keys() and all(
        np.array_equal(a[row].tokens, b[row].tokens) and np.array_equal(a[row].logits, b[row].logits) for row in a
    )


@pytest.fixture(scope="module")
def reference(made: HookedMusicGen, tmp_path_factory: pytest.TempPathFactory) -> dict[Row, Outcome]:
    return engine(made, tmp_path_factory.mktemp("store")).outcomes(mixed_rows())


def test_edits_take_effect(reference: dict[Row, Outcome]) -> None:
    """Else the tests below would compare copies of one clip."""
    clips = {outcome.tokens.tobytes() for outcome in reference.values()}
    assert len(clips) > 0.7 * len(reference)


@pytest.mark.parametrize("pack", [1, 30])  # 1: as few as a pass may have
def test_packing_changes_nothing(
    made: HookedMusicGen, tmp_path: Path, reference: dict[Row, Outcome], pack: int
) -> None:
    rows = mixed_rows()
    random.Random(pack).shuffle(rows)
    assert same(reference, engine(made, tmp_path, pack).outcomes(rows))


def test_packing_changes_nothing_with_threads(
    made: HookedMusicGen, tmp_path: Path, reference: dict[Row, Outcome]
) -> None:
    """Nor does the number of threads change a token (it may change the last bits of what is heard)."""
    threads, rows = torch.get_num_threads(), list(once(reference))
    torch.set_num_threads(2)
    try:
        wide, narrow = (engine(made, tmp_path / str(pack), pack).outcomes(rows) for pack in (50, 8))
    finally:
        torch.set_num_threads(threads)
    assert same(wide, narrow)
    assert all(np.array_equal(wide[row].tokens, reference[row].tokens) for row in rows)


def test_row_alone_equals_row_in_company(made: HookedMusicGen, tmp_path: Path, reference: dict[Row, Outcome]) -> None:
    own = engine(made, tmp_path)
    for row in random.Random(0).sample(mixed_rows(), 6):
        assert same({row: reference[row]}, own.outcomes([row]))


def test_store_gives_what_was_computed(made: HookedMusicGen, tmp_path: Path, reference: dict[Row, Outcome]) -> None:
    rows = mixed_rows()
    engine(made, tmp_path).outcomes(rows[:20])
    again = engine(None, tmp_path)  # stored rows need no model
    assert same({row: reference[row] for row in rows[:20]}, again.outcomes(rows[:20]))


def test_interrupted_run_continues(
    made: HookedMusicGen, tmp_path: Path, reference: dict[Row, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop in the third pass; what was finished is kept, and the rest gives the same outcomes."""
    own, calls, rows = engine(made, tmp_path, pack=5), iter(range(100)), list(once(reference))
    run = own.passes.perform

    def stop(*args: object) -> int:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return run(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(own.passes, "perform", stop)
    with pytest.raises(KeyboardInterrupt):
        own.outcomes(rows)
    kept = sum(own.key(row) in Store(tmp_path).clips for row in rows)
    assert 0 < kept < len(rows)
    assert same(once(reference), engine(made, tmp_path, pack=5).outcomes(rows))


def test_mean_is_the_mean_of_the_prompts_own_runs(made: HookedMusicGen, tmp_path: Path) -> None:
    mean = engine(made, tmp_path).passes.recording.get(GUITAR)["blocks.1.hook_mlp_out"]
    values = [
        made.run_with_cache(
            [prompt.text] * 2, "blocks.1.hook_mlp_out", duration=SHORT.duration, sampling=SHORT.sampling
        )[1]["blocks.1.hook_mlp_out"][:, 0]
        for prompt in STUDY.concept_prompts(STUDY.concepts["guitar"], 3)
    ]
    expected = torch.stack(values).double().mean(dim=0).transpose(0, 1)
    torch.testing.assert_close(mean.double(), expected, rtol=0, atol=1e-6)


def test_mean_does_not_depend_on_packing(made: HookedMusicGen, tmp_path: Path) -> None:
    a, b = (engine(made, tmp_path / str(pack), pack).passes.recording.get(mean("guitar", 7)) for pack in (1, 128))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_shared_history_reads_every_prompt_along_the_first_ones_tokens(made: HookedMusicGen, tmp_path: Path) -> None:
    own = engine(made, tmp_path)
    shared = own.passes.recording.get(mean("guitar", 3, history=History.shared))["blocks.0.hook_resid_post"]
    assert not torch.equal(shared, own.passes.recording.get(GUITAR)["blocks.0.hook_resid_post"])
    # Without text, all prompts with one history are one and the same run: the unconditional half is the first prompt's.
    first = STUDY.concept_prompts(STUDY.concepts["guitar"], 1)[0].text
    _, cache = made.run_with_cache(
        [first] * 2, "blocks.0.hook_resid_post", duration=SHORT.duration, sampling=SHORT.sampling
    )
    torch.testing.assert_close(shared[:, 1], cache["blocks.0.hook_resid_post"][1, 0], rtol=0, atol=1e-5)


def test_edit_stays_in_its_rows_frames_and_half(made: HookedMusicGen, tmp_path: Path) -> None:
    """At the edited hook itself, forced along the same tokens: bit-equal everywhere else."""
    from mech_music.edits.compile import compile_edits, visitor
    from tests.edits.made import no_activations

    own = engine(made, tmp_path)
    rows = [Row("Compose a happy rock piece.", 0), Row("Compose a happy jazz piece.", 0)]
    name = "blocks.1.hook_mlp_out"
    edited = [rows[0], Row(rows[1].prompt, 0, (Edit(name, 0.0, (Term(1.0, PIANO),), frames=(4, 7), half=Half.cond),))]
    forced = torch.from_numpy(np.stack([own.outcomes(rows)[row].tokens for row in rows])).long()

    def trace(some: list[Row]) -> torch.Tensor:
        resolve = own.passes.recording.resolve
        maps = compile_edits(some, made, own.passes.n_steps, resolve, no_activations)
        apply, seen = visitor(maps), []

        def keep(hook, step, value):
            value = apply(hook, step, value) if hook in maps else value
            seen.append(value.clone())
            return value

        made.visit([r.prompt for r in some], made.select_hooks(name), keep, duration=SHORT.duration, forced=forced)
        return torch.stack(seen)[:, :, 0]  # [step, half·row, d_model]

    before, after = trace(rows), trace(edited)
    where = (before != after).any(dim=-1)
    assert where[4:7, 1].all(), "the conditional half of row 1 is edited in its frames"
    where[4:7, 1] = False
    # Later steps of the edited row see the edit through attention; the other row and the frames before never do.
    assert not where[:4].any()
    assert not where[:, [0, 2, 3]].any()
    torch.testing.assert_close(after[4:7, 1], own.passes.recording.get(PIANO)[name][4:7, 0])


def test_failed_row_is_reported_and_the_others_finish(made: HookedMusicGen, tmp_path: Path) -> None:
    good = Row("Compose a happy rock piece.", 0)
    bad = Row("Compose a happy jazz piece.", 0, (Edit("blocks.0.hook_mlp_out", float("1e38")),) * 2)
    outcomes = engine(made, tmp_path).outcomes([good, bad])
    assert outcomes[bad].failed
    assert not outcomes[good].failed


def test_audio_is_the_tokens_decoded_and_kept(made: HookedMusicGen, tmp_path: Path) -> None:
    rows = mixed_rows()[:3]
    own = engine(made, tmp_path)
    clips, rate = own.audio(rows)
    tokens = torch.from_numpy(np.stack([own.outcomes(rows)[row].tokens for row in rows])).long()
    assert rate == made.sample_rate
    np.testing.assert_allclose(clips, made.to_audio(tokens).numpy(), atol=2**-15)
    again, _ = engine(None, tmp_path).audio(rows)
    assert np.array_equal(again, clips)


# -- processes, memory, what is kept -----------------------------------------------------------------


def test_worker_processes_change_nothing(
    made: HookedMusicGen, tmp_path: Path, reference: dict[Row, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = list(once(reference))
    own = engine(made, tmp_path, pack=9, workers=2)
    own.ensure(sources_of(rows))  # the clips that a lens is trained on are watched in this process
    monkeypatch.setattr(own.passes, "generate", _elsewhere(own, os.getpid()))
    assert same(once(reference), own.outcomes(rows))


def test_unknown_words_are_warned_of_once_and_not_in_each_worker(
    made: HookedMusicGen, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before workers are forked, which then know what was said."""
    source = Mean(Prompts.of(["A zyxwv tune.", "A zyxwv tune played vwxyz"]))
    engine(made, tmp_path).passes.recording.groups([source], 2)
    said = [message for message in caplog.messages if "does not know" in message]
    assert len(said) == len(set(said)) and {"zyxwv", "vwxyz"} <= made._text._known
    made.conditions(list(source.prompts.texts))
    assert said == [message for message in caplog.messages if "does not know" in message]


def _elsewhere(own: Engine, parent: int) -> Callable[..., torch.Tensor]:
    """Generation that refuses to run in this process: so it must be a worker's."""
    generate = own.passes.generate

    def checked(*args: Any, **kwargs: Any) -> torch.Tensor:
        assert os.getpid() != parent
        return generate(*args, **kwargs)

    return checked


def test_a_pass_that_does_not_fit_is_halved(
    made: HookedMusicGen, tmp_path: Path, reference: dict[Row, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, sizes = engine(made, tmp_path, pack=32), []
    perform = own.passes.perform

    def scarce(rows: Sequence[Row], listeners: Any, advance: Any) -> int:
        sizes.append(len({replace(row, exit=None) for row in rows}))
        if sizes[-1] > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return perform(rows, listeners, advance)

    monkeypatch.setattr(own.passes, "perform", scarce)
    assert same(reference, own.outcomes(mixed_rows()))
    too_large = [size for size in sizes if size > 10]
    assert len(too_large) <= 4, "every size is tried once only"
    assert max(sizes[-5:]) <= 10


def test_out_of_memory_within_a_trace_is_recognised(made: HookedMusicGen) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(Exception) as caught:
        made.visit(["music"] * 4, made.select_hooks("blocks.0.hook_mlp_out"), fail, duration=0.1)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_when_the_smallest_pass_does_not_fit_it_says_so(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = engine(made, tmp_path)

    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(own.passes, "perform", never)
    with pytest.raises(UserError, match="the smallest"):
        own.outcomes(mixed_rows()[:20])


def test_tokens_that_are_not_kept_are_made_again(made: HookedMusicGen, tmp_path: Path) -> None:
    rows = mixed_rows()[:6]
    kept, spare = engine(made, tmp_path / "a"), engine(made, tmp_path / "b", keep_tokens=False)
    assert all(outcome.tokens.shape == (4, 0) for outcome in spare.outcomes(rows).values())
    for row in rows:
        assert np.array_equal(spare.outcomes([row])[row].logits, kept.outcomes([row])[row].logits)
    assert np.array_equal(spare.audio(rows)[0], kept.audio(rows)[0])


def test_audio_is_kept_of_every_clip_if_wanted(made: HookedMusicGen, tmp_path: Path) -> None:
    rows = mixed_rows()[:6]
    own = engine(made, tmp_path, keep_audio=True)
    keys = [outcome.key for outcome in own.outcomes(rows).values()]
    clips = [own.store.audio(key) for key in keys]
    assert all(clip is not None for clip in clips)
    again, _ = engine(made, tmp_path / "other").audio(rows)
    heard = np.stack([clip[0] for clip in clips if clip is not None])
    np.testing.assert_allclose(heard, again, atol=2**-14)


def test_a_row_of_another_engine_is_not_made_twice(
    made: HookedMusicGen, tmp_path: Path, reference: dict[Row, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other engine makes all that this one has not claimed while this one is at its first pass."""
    rows, own, other = list(once(reference)), engine(made, tmp_path, pack=8), engine(made, tmp_path)
    generate, keep, stored_here, claimed = own.passes.generate, own.passes.keep, [], []

    def meanwhile(*args: Any, **kwargs: Any) -> torch.Tensor:
        claimed.append(own.store.leases.held())
        other.outcomes([row for row in rows if other.key(row) not in claimed[-1]])
        return generate(*args, **kwargs)

    def kept(some: Sequence[Row], *args: Any) -> None:
        stored_here.extend(some)
        keep(some, *args)

    for source in (PIANO, GUITAR):
        other.passes.recording.get(source)
    monkeypatch.setattr(own.passes, "generate", meanwhile)
    monkeypatch.setattr(own.passes, "keep", kept)
    assert same(once(reference), own.outcomes(rows))
    assert {own.key(row) for row in stored_here} <= claimed[0], "what this one had claimed before the other began"
    assert stored_here
