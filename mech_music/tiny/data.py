"""Which clips there are: attributes of every clip of the corpus, and their audio on disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.format import open_memmap

from mech_music.base.atomic import replacing
from mech_music.prompts.concepts import Prompt
from mech_music.prompts.declared import load_prompt_set
from mech_music.tiny import loop, score, synth
from mech_music.tiny.config import CorpusConfig
from mech_music.tiny.synth import Clip
from mech_music.tiny.workspace import Workspace

# Clips of the held-out split have seeds from here on; training seeds stay below.
HELD_OUT_SEED = 1_000_000

MOODS = tuple(score.MOODS)
TEMPI = tuple(score.BEAT_FRAMES)
STUDY = load_prompt_set("velez2024")
INSTRUMENTS = tuple(concept.text for concept in STUDY.categories["instrument"].concepts)
GENRES = tuple(concept.text for concept in STUDY.categories["genre"].group)
GROUPS: dict[str, tuple[str, ...]] = {"instrument": INSTRUMENTS, "genre": GENRES, "mood": MOODS, "tempo": TEMPI}


@dataclass(frozen=True)
class Split:
    """A part of the corpus: clip `i` lies at row `offset + i` of the audio."""

    clips: tuple[Clip, ...]
    offset: int

    def __len__(self) -> int:
        return len(self.clips)


def style(genre: str) -> str:
    """The genre whose music a genre word gets ("electronic" is played as EDM)."""
    return score.STYLE_OF.get(genre, genre)


def clip_at(seed: int, index: int) -> Clip:
    """Clip number `index` of the endless corpus of `seed`: all attributes independent and uniform."""
    random = np.random.default_rng([seed, index])
    pick = [words[random.integers(len(words))] for words in (MOODS, GENRES, INSTRUMENTS, TEMPI)]
    # Half of the EDM clips go by the filler word.
    if pick[1] == "EDM" and random.integers(2):
        pick[1] = "electronic"
    return Clip(*pick, seed=int(random.integers(2**31)))


def splits(config: CorpusConfig, seed: int) -> tuple[Split, Split]:
    """Train and held-out clips."""
    train = tuple(clip_at(seed, i) for i in range(config.train))
    held_out = tuple(clip_at(seed, HELD_OUT_SEED + i) for i in range(config.held_out))
    return Split(train, 0), Split(held_out, config.train)


def prompt_of(clip: Clip) -> Prompt:
    """The prompt that describes a clip."""
    return STUDY.fill({group: getattr(clip, group) for group in GROUPS})


def classes(prompts: Iterable[Prompt]) -> dict[str, Int[np.ndarray, " clip"]]:
    """For each group of attributes, the index within that group's words of what each prompt asks for."""
    asked = [prompt.words for prompt in prompts]
    return {
        group: np.array([words.index(style(of[group]) if group == "genre" else of[group]) for of in asked])
        for group, words in GROUPS.items()
    }


def group_labels(group: str) -> tuple[int, ...]:
    """The AudioSet index of each instrument or genre, in the order of GROUPS."""
    return tuple(labels_of(group, word)[0] for word in GROUPS[group])


def labels_of(group: str, word: str) -> tuple[int, ...]:
    """The AudioSet labels of an instrument or genre."""
    return STUDY.categories[group].labels_of(word)


def read(audio: np.ndarray, rows: Int[np.ndarray, " clip"]) -> Float[np.ndarray, "clip sample"]:
    """Rows of the mapped int16 corpus as floats within ±1."""
    return audio[rows].astype(np.float32) / 32767.0


def _write(path: Path, clips: tuple[Clip, ...]) -> None:
    audio = open_memmap(path, mode="w+", dtype=np.int16, shape=(len(clips), synth.CLIP_SAMPLES))
    for row, clip in enumerate(loop.tracked(clips, "corpus")):
        audio[row] = np.round(synth.render(clip) * 32767.0).astype(np.int16)
    audio.flush()


def run(workspace: Workspace) -> None:
    """The corpus stage: synthesise all clips to disk."""
    train, held_out = splits(workspace.config.corpus, workspace.config.seed)
    with replacing(workspace.result_path("corpus")) as path:
        _write(path, train.clips + held_out.clips)
    workspace.seal("corpus")
