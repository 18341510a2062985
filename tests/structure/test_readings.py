"""What is read at beats: what came before them and nothing of them, of a whole piece or of its last frames alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.engine.engine import Engine
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.protocol import Generator
from mech_music.prompts.declared import load_prompt_set
from mech_music.structure.forecast import readings  # noqa: F401
from mech_music.structure.forecast.acoustics import acoustics
from mech_music.structure.forecast.named import AtBeats, Given, Sight
from mech_music.structure.forecast.readings import loaded
from mech_music.structure.forecast.untrained import shuffled_weights
from mech_music.structure.pieces.annotated import AnnotatedPiece
from mech_music.structure.pieces.packing import packed, unpacked
from mech_music.structure.pieces.symbolic import SymbolicPieces
from tests.structure.made_pieces import made_piece
from tests.symbolic.made import made_symbolic

HOOK = "blocks.1.hook_resid_post"


@dataclass
class Listed:
    """Pieces that are there already."""

    own: Sequence[AnnotatedPiece]
    id: str

    def load(self, n: int, generator: Generator) -> Sequence[AnnotatedPiece]:
        return self.own[:n]


def short_piece(number: int, n_codebooks: int, card: int, n_frames: int, prompt: str) -> AnnotatedPiece:
    codes = np.random.default_rng(number).integers(0, card, (n_codebooks, n_frames))
    beats = tuple(range(0, n_frames, 4))
    return made_piece(number, "rnr", prompt, codes=codes, sections=(), beats=beats, bars=())


def read(engine: Engine, pieces: list[AnnotatedPiece], sight: Sight = Sight.whole, window: int = 0) -> np.ndarray:
    given = Given(f"{[piece.codes.tolist() for piece in pieces]}", len(pieces), Listed(pieces, "listed"))
    source = AtBeats(given, HOOK, sight, window)
    return engine.answers([source]).records[source]["beats"]


def changed(piece: AnnotatedPiece, frames: slice, codebook: int = 0) -> AnnotatedPiece:
    codes = piece.codes.copy()
    codes[codebook, frames] = (codes[codebook, frames] + 1) % 5
    return replace(piece, codes=codes)


def check_sight(engine: Engine, pieces: list[AnnotatedPiece]) -> None:
    """The third beat of the first piece is frame 8."""
    whole = read(engine, pieces)
    assert len(whole) == sum(len(piece.beats) for piece in pieces) and np.isfinite(whole).all()
    for frames, same in ((slice(8, None), True), (slice(7, 8), False), (slice(0, 1), False)):
        other = read(engine, [changed(pieces[0], frames), *pieces[1:]])
        assert np.array_equal(other[:3], whole[:3]) is same, f"frames {frames}"
        assert np.array_equal(other[len(pieces[0].beats) :], whole[len(pieces[0].beats) :])
    local = read(engine, pieces, Sight.local, window=5)
    assert np.isnan(local[:2]).all(), "no five frames are before the first two beats"
    for frames, same in ((slice(0, 3), True), (slice(3, 4), False), (slice(8, 9), True)):
        other = read(engine, [changed(pieces[0], frames), *pieces[1:]], Sight.local, window=5)
        assert np.array_equal(other[2], local[2]) is same, f"frames {frames}, local"


def test_symbolic_activations_know_what_was_before_the_beat(tmp_path: Path) -> None:
    model = made_symbolic()
    engine = Engine.of(model, tmp_path, 2.0, quiet=True)
    pieces = [short_piece(n, 3, 8, 16 + 4 * n, "In C.") for n in range(2)]
    check_sight(engine, pieces)
    before = {name: weight.clone() for name, weight in model.decoder.state_dict().items()}
    whole, untrained = read(engine, pieces), read(engine, pieces, Sight.untrained)
    assert not np.allclose(whole, untrained) and np.isfinite(untrained).all()
    assert all(torch.equal(weight, before[name]) for name, weight in model.decoder.state_dict().items())
    with pytest.raises(RuntimeError, match="stop"), shuffled_weights(model, 0):
        own = dict(model.decoder.state_dict())
        kept = [
            torch.equal(own[name].flatten().sort().values, one.flatten().sort().values) for name, one in before.items()
        ]
        assert all(kept) and not all(torch.equal(own[name], one) for name, one in before.items())
        raise RuntimeError("stop")
    assert all(torch.equal(weight, before[name]) for name, weight in model.decoder.state_dict().items())


def test_musicgen_activations_know_what_was_before_the_beat(made: HookedMusicGen, tmp_path: Path) -> None:
    engine = Engine.of(made, tmp_path, 0.64, quiet=True)
    pieces = [short_piece(n, 4, made.card, 16, "Compose a sad trumpet tune.") for n in range(2)]
    check_sight(engine, pieces)
    untrained = read(engine, pieces, Sight.untrained)
    assert np.isfinite(untrained).all() and not np.allclose(untrained, read(engine, pieces))
    sound = acoustics(pieces[:1], made, window=5)
    assert sound.shape == (4, 2 * (32 + 12 + 1)) and np.isfinite(sound).all()


class Smeared:
    """A codec that plays a tone for each token, from C2 up, and half of the next frame's: convolutions hear ahead."""

    device, sample_rate, frame_rate = torch.device("cpu"), 16000, 4.0

    def to_audio(self, tokens: torch.Tensor) -> torch.Tensor:
        per_frame = int(self.sample_rate / self.frame_rate)
        time = torch.arange(tokens.shape[-1] * per_frame) / self.sample_rate
        both = tokens[:, 0], torch.nn.functional.pad(tokens[:, 0, 1:], (0, 1), value=24)
        found = torch.zeros(len(tokens), len(time))
        for token, level in zip(both, (1.0, 0.5), strict=True):
            hertz = 440 * 2 ** ((36 + token - 69) / 12)
            found += level * torch.sin(2 * torch.pi * hertz.repeat_interleave(per_frame, -1) * time)
        return found


def test_the_control_of_sound_hears_low_notes_apart_and_nothing_ahead() -> None:
    codec = cast("Generator", Smeared())
    piece = short_piece(0, 1, 8, 64, "In C.")
    for token in (0, 1):
        (*_, columns) = acoustics([replace(piece, codes=np.full((1, 64), token))], codec, 16)
        assert columns[32:44].argmax() == token, "a semitone at 65 Hz"
    beat, frame = 8, piece.beats[8]
    whole = acoustics([piece], codec, 16)
    for frames, same in (
        (slice(frame, None), True),
        (slice(frame - 1, frame), False),
        (slice(frame - 16, frame - 15), False),
        (slice(0, frame - 16), True),
    ):
        other = acoustics([changed(piece, frames)], codec, 16)
        assert np.array_equal(other[beat], whole[beat]) is same, f"frames {frames}"
    last = acoustics([changed(piece, slice(frame - 9, frame - 5))], codec, 16)
    assert not np.array_equal(last[beat, :45], whole[beat, :45]), "the window"
    assert np.array_equal(last[beat, 45:], whole[beat, 45:]), "the last beat"


def test_what_notes_sound_like_is_counted() -> None:
    piece = short_piece(0, 3, 8, 16, "In C.")
    found = acoustics([piece], made_symbolic(), window=5)
    first, whole = found[2, :128], piece.codes[0, 3:8]
    assert first.sum() == 5 and first[whole[0]] >= 1 and found[2, 3 * 128 :].sum() == 3 * 4, "five frames, one beat"


def test_pieces_are_the_same_after_the_store() -> None:
    pieces = SymbolicPieces(load_prompt_set("symbolic"), ("told", "hinted", "blind"), 2024)
    own = [made_piece(3, "rnr"), *pieces.load(3, made_symbolic_of_context())]
    for before, after in zip(own, unpacked(packed(own)), strict=True):
        assert before == after and np.array_equal(before.codes, after.codes)
        assert [section.kind.returns for section in before.sections] == [one.kind.returns for one in after.sections]


def made_symbolic_of_context() -> Generator:
    from mech_music.models.symbolic.model import SymbolicGenerator
    from tests.symbolic.made import made_decoder

    return SymbolicGenerator(made_decoder(layers=1, context=160), "made", frame_rate=5.0)


def test_symbolic_pieces_are_what_they_say() -> None:
    pieces = SymbolicPieces(load_prompt_set("symbolic"), ("told", "hinted", "blind"), 2024)
    found = pieces.load(12, made_symbolic_of_context())
    assert [piece.regime for piece in found] == ["told", "hinted", "blind"] * 4
    assert len({piece.track for piece in found}) == 12
    for piece in found:
        form = piece.prompt.split(" in ")[-1].split()[0]
        assert {"hinted": form == "cued", "blind": form == "free", "told": form.isupper()}[piece.regime]
        assert len(piece.bars) == 16 and [section.start for section in piece.sections] == [*piece.bars[::4]]
        assert set(piece.bars) <= set(piece.beats) and [*piece.beats] == sorted(piece.beats)
        for section in (one for one in piece.sections if one.kind == "exact" and piece.regime != "hinted"):
            source = piece.sections[section.source or 0]
            if source.kind == "new":
                ours, theirs = (piece.codes[:, one.start + 1 : one.end] for one in (section, source))
                assert np.array_equal(ours, theirs)
    with pytest.raises(UserError, match="^pieces=symbolic: the prompts of prompt_set=velez2024 do not name"):
        SymbolicPieces(load_prompt_set(), ("told",), 2024).load(1, made_symbolic_of_context())


def test_pieces_that_do_not_belong_are_one_line(made: HookedMusicGen) -> None:
    def load(*pieces: AnnotatedPiece, n: int = 2) -> None:
        loaded(Given(f"{pieces}", n, Listed(pieces, "listed")), made_symbolic())

    one, other = (short_piece(n, 3, 8, 16, "In C.") for n in range(2))
    load(one, other)
    with pytest.raises(
        UserError, match="^pieces 'piece-0' and 'piece-1' are the same music in two tracks, '0' and '1'"
    ):
        load(one, replace(other, codes=one.codes))
    with pytest.raises(UserError, match="^piece 'piece-0' has 1 codebooks with tokens .*it is another model's piece"):
        load(short_piece(0, 1, 8, 16, ""), other)
    with pytest.raises(UserError, match="^n_pieces=3: there are 2 pieces; use n_pieces=2 or fewer"):
        load(one, other, n=3)
    with pytest.raises(UserError, match="^pieces=symbolic: these are notes of model=symbolic-tiny"):
        SymbolicPieces(load_prompt_set("symbolic"), ("told",), 2024).load(1, made)
