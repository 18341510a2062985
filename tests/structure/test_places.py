"""Places among steps, heads that are drawn, what is compared: pure functions, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.activations.recipes import Making
from mech_music.base.errors import UserError
from mech_music.edits.row import Row
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import Sampling
from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.prompts.declared import load_prompt_set
from mech_music.structure.causes.agreement import agreement, melody_f1, token_agreement
from mech_music.structure.causes.causality import Statistics, cost_of, ratio_of_means
from mech_music.structure.causes.forced import by_kind, forced_nats
from mech_music.structure.causes.heads import Head, factor_of, parse_heads, random_like, ranked, split_tracks
from mech_music.structure.causes.looking import state_of
from mech_music.structure.causes.places import (
    REACH,
    Steps,
    around_source,
    beat_of,
    earlier_of,
    elsewhere,
    measured_frames,
    recent,
    same_lag,
)
from mech_music.structure.causes.restoring import swapped
from mech_music.structure.causes.writing import copied_tokens, direct_effect, output_maps
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind, Section
from mech_music.structure.pieces.symbolic import SymbolicPieces
from tests.made_engine import engine
from tests.structure.copying import CopiedPieces, CopyingGenerator
from tests.symbolic.made import made_decoder

DELAYED = Steps((0, 1, 2, 3), 24)


def piece(kinds: list[tuple[Kind, int | None]], length: int = 8, codebooks: int = 4, seed: int = 0) -> AnnotatedPiece:
    """Sections of one length; returns and decoys have their own codes, which nothing here reads."""
    n = len(kinds) * length
    sections = tuple(Section(at * length, (at + 1) * length, kind, source) for at, (kind, source) in enumerate(kinds))
    codes = np.random.default_rng(seed).integers(0, 64, (codebooks, n))
    return AnnotatedPiece(f"{seed}", f"{seed}", "told", "A tune.", 25.0, sections, tuple(range(0, n, 4)), codes)


SIMPLE = piece([(Kind.new, None), (Kind.new, None), (Kind.exact, 0)])


# -- places ------------------------------------------------------------------------------------------------


def read_at(steps: Steps, codes: np.ndarray, position: int) -> list[int | None]:
    """What a position reads of each codebook, from the definition of the delay: drawn one step before."""
    frames = [position - 1 - first for first in steps.first]
    return [int(codes[k, frame]) if 0 <= frame < codes.shape[1] else None for k, frame in enumerate(frames)]


def drawn_at(steps: Steps, codes: np.ndarray, step: int) -> list[int | None]:
    return read_at(steps, codes, step + 1)


def test_the_source_is_where_all_codebooks_of_what_is_drawn_next_were_read() -> None:
    codes = SIMPLE.codes.copy()
    codes[:, 16:24] = codes[:, 0:8]
    places = around_source(SIMPLE, DELAYED)
    assert places.steps.tolist() == list(range(19, 24)), "steps at which every codebook is in the return"
    for step in places.steps:
        position = int(places.index[step, REACH])
        assert read_at(DELAYED, codes, position) == drawn_at(DELAYED, codes, step)
        assert (places.index[step] == position + np.arange(-REACH, REACH + 1))[places.weight[step] > 0].all()


def test_every_earlier_section_of_the_music_is_a_source_and_decoys_are_not() -> None:
    own = piece([(Kind.new, None), (Kind.decoy, 0), (Kind.transposed, 0), (Kind.exact, 2), (Kind.exact, 1)])
    assert earlier_of(own, 3) == [0, 2] and earlier_of(own, 4) == [1] and earlier_of(own, 2) == [0]
    steps = Steps((0,), 40)
    step = 3 * 8 + 2
    found = around_source(own, steps)
    width = 2 * REACH + 1
    assert [int(found.index[step, REACH + at * width]) for at in range(2)] == [step - 24 + 1, step - 8 + 1]


def test_controls_are_the_same_place_of_other_music_and_as_far_back_from_new_music() -> None:
    own = piece([(Kind.new, None), (Kind.new, None), (Kind.decoy, 0), (Kind.exact, 0), (Kind.new, None)])
    steps = Steps((5, 5), 40)  # as after six control tokens
    other, lag = elsewhere(own, steps), same_lag(own, steps)
    step = 3 * 8 + 5 + 2
    there = other.index[step][other.weight[step] > 0]
    assert there.tolist() == [step - 16 + 1], "of section 1; section 2 is a decoy of the source"
    back = 4 * 8 + 5 + 1
    assert lag.index[back][lag.weight[back] > 0].tolist() == [back - 24 + 1]
    assert not lag.weight[:29].any(), "so far back there is no music yet"
    assert recent(own, steps, 2).index[step].tolist() == [step, step - 1]
    assert beat_of(own, steps)[:12].tolist() == [-1] * 6 + [0] * 4 + [1] * 2


def test_frames_of_a_sections_first_beats_do_not_count() -> None:
    found = measured_frames(SIMPLE, 1)
    assert found[list(Kind).index(Kind.exact)].nonzero()[0].tolist() == [20, 21, 22, 23]
    assert measured_frames(SIMPLE, 0).sum() == 16 and measured_frames(SIMPLE, 9).sum() == 0
    sums, counts = by_kind(SIMPLE, np.ones((4, 24), np.float32), 1)
    np.testing.assert_array_equal(sums, counts)
    assert counts[list(Kind).index(Kind.new)] == 4 * 4, "the first section has nothing before it: it is not compared"


def test_cadences_are_no_part_of_returns_nor_of_what_they_are_compared_with() -> None:
    sections = tuple(replace(one, cadence=3) for one in SIMPLE.sections)
    own = replace(SIMPLE, sections=sections)
    assert measured_frames(own, 0).nonzero()[1].tolist() == [*range(8, 13), *range(16, 21)]
    assert own.returning().nonzero()[0].tolist() == [*range(16, 21)]
    steps = Steps((0,), 24)
    assert (state_of(own, steps) >= 0).nonzero()[0].tolist() == [*range(8, 13), *range(16, 21)]
    assert around_source(own, steps).steps.tolist() == [*range(16, 21)]
    with pytest.raises(UserError, match="section 0 has a cadence of 8 frames: expected fewer than its 8"):
        replace(SIMPLE, sections=(replace(SIMPLE.sections[0], cadence=8), *SIMPLE.sections[1:]))


def test_controls_are_summed_as_often_as_sources_are() -> None:
    """A head that looks everywhere alike has no induction, however often the music was there before."""
    kinds = [(Kind.new, None), (Kind.exact, 0), (Kind.new, None), (Kind.exact, 1), (Kind.new, None)]
    own, steps = piece(kinds), Steps((0,), 40)
    step, place = 3 * 8 + 2, 2 * REACH + 1
    source = around_source(own, steps).weight[step].reshape(-1, place)[:, REACH].sum()
    assert source == 2 and elsewhere(own, steps).weight[step].sum() == pytest.approx(source)
    assert same_lag(own, steps).weight[4 * 8 + 2].sum() == pytest.approx((1 + 2) / 2)


def test_copied_tokens_are_the_sources_own_and_one_of_half_a_section_later() -> None:
    tokens, counted = copied_tokens(SIMPLE, DELAYED)
    for codebook, frame in ((0, 16), (3, 20)):
        assert counted[frame + codebook, codebook]
        pair = SIMPLE.codes[codebook, [frame - 16, (frame - 16 + 4) % 8]]
        np.testing.assert_array_equal(tokens[frame + codebook, codebook], pair)
    assert not copied_tokens(piece([(Kind.new, None), (Kind.transposed, 0)]), Steps((0,) * 4, 16))[1].any()


# -- heads -------------------------------------------------------------------------------------------------


def test_random_heads_are_others_of_the_same_layers() -> None:
    found = [Head(1, 0), Head(1, 3), Head(2, 2)]
    drawn = {tuple(random_like(found, 4, 4, seed)) for seed in range(30)}
    assert len(drawn) == 3 and all(sorted(one.layer for one in some) == [1, 1, 2] for some in drawn)
    assert not any(set(some) & set(found) for some in drawn)
    full = [Head(1, head) for head in range(4)]
    assert {one.layer for one in random_like(full, 4, 4, 0)} <= {0, 2}, "none is left in the layer: the nearest"
    with pytest.raises(UserError, match="sizes=2: the model has 3 heads"):
        random_like([Head(0, 0), Head(0, 1)], 1, 3, 0)


def test_heads_are_ranked_by_score_and_named_in_two_ways() -> None:
    assert ranked(np.array([[0.1, np.nan], [0.9, 0.4]])) == [Head(1, 0), Head(1, 1), Head(0, 0), Head(0, 1)]
    assert parse_heads(["2.1", "L3H0"], 4, 4) == (Head(2, 1), Head(3, 0))
    for words, n_heads, said in (
        (["4.0"], 4, "heads=4.0: this model has layers 0 to 3, each with heads 0 to 3"),
        (["2.1"], 16, "heads=2.1: expected layer and head of this model, such as L2H1"),
        (["2-1"], 4, "heads=2-1: expected"),
        (["2.1", "2.1"], 4, "a head is named twice"),
    ):
        with pytest.raises(UserError, match=said.replace("[", r"\[")):
            parse_heads(words, 4, n_heads)
    assert [factor_of(how) for how in ("mean", "zero", "0.5", "2")] == [0.0, 0.0, 0.5, 2.0]
    with pytest.raises(UserError, match="how=half"):
        factor_of("half")


def test_tracks_are_tested_on_or_found_on_and_never_both() -> None:
    tracks = [f"{number % 9}" for number in range(30)]
    tested = split_tracks(tracks, 0)
    own = {track for track, held in zip(tracks, tested, strict=True) if held}
    assert len(own) == 4 and not own & {track for track, held in zip(tracks, tested, strict=True) if not held}
    assert not np.array_equal(tested, split_tracks(tracks, 1))


# -- what is compared --------------------------------------------------------------------------------------

HOW = Statistics(2000, 0.95, 0)


def test_the_selectivity_is_a_ratio_of_means_over_the_same_tracks() -> None:
    rng = np.random.default_rng(0)
    new = 0.1 + 0.01 * rng.normal(size=40)
    returns = 6 * new + 0.01 * rng.normal(size=40)
    found = cost_of(returns, new, np.full(40, np.nan), HOW)
    assert found.selectivity.mean == pytest.approx(returns.mean() / new.mean())
    assert 5.5 < found.selectivity.low < 6 < found.selectivity.high < 6.5
    # Paired: what a track does to both cancels, so the interval is narrower than the numerator's own.
    assert found.selectivity.high - found.selectivity.low < (found.returns.high - found.returns.low) / new.mean()
    assert np.isnan(found.decoy.mean) and found.difference.low > 0


def test_a_ratio_to_nothing_is_infinite_and_to_two_nothings_undefined() -> None:
    assert ratio_of_means(np.ones(5), -np.ones(5), HOW)[:3] == (np.inf, np.inf, np.inf)
    assert np.isnan(ratio_of_means(-np.ones(5), -np.ones(5), HOW).mean)
    own = ratio_of_means(np.array([1.0, 2.0, np.nan]), np.array([np.nan, 1.0, 2.0]), HOW)
    assert own.mean == pytest.approx(1.0) and own.n == 3


def test_melodies_agree_at_their_best_transposition_and_tokens_at_their_best_alignment() -> None:
    melody = {(0, 0, 60), (0, 4, 62), (1, 0, 64)}
    assert melody_f1({(bar, at, pitch + 5) for bar, at, pitch in melody}, melody) == 1.0
    assert melody_f1({(0, 0, 60), (0, 4, 61), (1, 2, 64)}, melody) == pytest.approx(2 / 6 * 1, abs=0.4)
    assert melody_f1(set(), melody) == 0.0
    whole = np.arange(40)
    assert token_agreement(whole[6:14], whole, 4, 2) == 1.0 and token_agreement(whole[7:15], whole, 4, 2) == 0.0


def test_swapped_pieces_have_another_pieces_music_wherever_the_return_was_before() -> None:
    own = piece([(Kind.new, None), (Kind.new, None), (Kind.exact, 0), (Kind.exact, 0)], seed=1)
    other = piece([(Kind.new, None)] * 4, seed=2)
    found = swapped(0, [own, other])
    assert found is not None and found.section == 3
    changed = (found.codes != own.codes).any(0).reshape(4, 8).any(1)
    assert changed.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(found.codes[:, :8], found.codes[:, 16:24])
    assert swapped(1, [own, other]) is None, "nothing returns"
    assert swapped(0, [own, piece([(Kind.new, None)] * 4, length=6, seed=3)]) is None


def test_a_planted_return_agrees_with_its_source_and_less_with_other_sections() -> None:
    """Notes: exact returns and transposed ones alike; a decoy has the rhythm, and few of the notes."""
    generator = SymbolicGenerator(made_decoder(layers=1, context=160), "made")
    pieces = SymbolicPieces(load_prompt_set("symbolic"), ["told", "blind"], 2024).load(30, generator)
    found = [
        (section.kind, *agreement(generator, own, number, own.codes))
        for own in pieces
        for number, section in enumerate(own.sections)
        if section.source is not None
    ]
    assert {kind for kind, _, _ in found} == {Kind.exact, Kind.transposed, Kind.decoy}
    assert all(near == 1.0 for kind, near, _ in found if kind.returns)
    decoys = [near for kind, near, _ in found if kind is Kind.decoy]
    others = [other for _, _, other in found if not np.isnan(other)]
    assert 0.1 < np.mean(decoys) < 0.6 and np.mean(others) < 0.5


# -- models ------------------------------------------------------------------------------------------------


def test_what_heads_write_is_the_models_own_output_matrix(made: HookedMusicGen) -> None:
    for layer, found in enumerate(output_maps(made)):
        layers: Any = made.musicgen.lm.transformer.layers
        weight = layers[layer].self_attn.out_proj.weight
        torch.testing.assert_close(found.flatten(0, 1), weight.detach().T, atol=1e-5, rtol=1e-4)
    (own,) = output_maps(CopyingGenerator())
    assert own[1:].abs().max() == 0 and own[0].sum() == own.shape[1]


def test_the_direct_effect_is_that_of_the_head_alone() -> None:
    model = CopyingGenerator()
    unembed, maps = model.unembedding(torch.float32), torch.stack(output_maps(model))
    stream, z = torch.randn(2, model.d_model), torch.randn(1, 2, 3, model.d_model // 3)
    tokens = torch.tensor([[[3, 5]], [[7, 9]]])
    found = direct_effect(unembed, stream, z, maps, tokens)
    without = unembed(stream - z[0, :, 0] @ maps[0, 0])
    logits = [one - one.mean(-1, keepdim=True) for one in (unembed(stream), without)]
    assert found[1, 0, 0, 1, 0] == pytest.approx(float((logits[0] - logits[1])[1, 0, 9]), abs=1e-5)
    assert found[:, 0, 1:].abs().max() < 1e-5


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_nats_along_tokens_are_the_models_own(made: HookedMusicGen, tmp_path: Path, guidance: float) -> None:
    """Read step by step off the last stream, with delay and guidance, as from one forward pass over all."""
    passes = engine(made, tmp_path).passes
    codes = [np.random.default_rng(seed).integers(0, made.card, (4, 10)) for seed in range(2)]
    rows = [Row("Compose a happy rock piece.", 0), Row("Compose a sad trumpet tune.", 0)]
    for row, own, nats in zip(rows, codes, forced_nats(Making(passes, 8), rows, codes, guidance, print), strict=True):
        tokens = torch.from_numpy(own)[None]
        logits = made.forced_logits(row.prompt, tokens, Sampling(guidance=guidance)).log_softmax(-1)
        expected = -logits.gather(-1, tokens[..., None])[0, ..., 0]
        np.testing.assert_allclose(nats, expected.detach().numpy(), atol=2e-4)


def test_pieces_of_the_copying_model_repeat_what_they_say_they_do() -> None:
    for own in CopiedPieces().load(6, CopyingGenerator()):
        for section in own.sections:
            if section.kind is Kind.exact and section.source is not None:
                start = own.sections[section.source].start
                np.testing.assert_array_equal(
                    own.codes[:, section.start : section.end], own.codes[:, start : start + 6]
                )
