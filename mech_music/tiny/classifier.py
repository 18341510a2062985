"""Training of tiny's PaSST on log-mel spectrograms of clean clips, of the codec's reconstructions, and of
reconstructions from codes that were made wrong here and there, as a language model's samples are.

Downstream numbers are softmax probabilities over all 527 AudioSet classes, so that softmax is what is trained: against
a target distribution that shares the mass among a clip's instrument, its genre, their related labels and everything.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.lib.format import open_memmap
from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.listeners.classifier import N_CLASSES
from mech_music.listeners.passt import PaSST, PaSSTConfig
from mech_music.tiny import codec, data, loop
from mech_music.tiny.config import TinyConfig
from mech_music.tiny.synth import SAMPLE_RATE, Clip
from mech_music.tiny.workspace import Workspace

_MUSIC, _MUSICAL_INSTRUMENT = 137, 138
# Shares of the target distribution; the rest, spread over all classes, bounds the odds at about e^8.
_MAIN, _RELATED, _GENERAL = 0.40, 0.05, 0.025
N_MELS, FRAMES = 64, 400
VERSIONS = ("clean", "reconstructed", "from wrong codes")
# The largest share of wrong codes, by codebook; each clip has its own part of it.
_WRONG = (0.01, 0.05, 0.25, 0.5)


def shape(config: TinyConfig) -> PaSSTConfig:
    """The PaSST to train: 64 mels at 100 frames a second, patches of 16 × 16, 4 s windows."""
    part = config.classifier
    return PaSSTConfig(
        name="tiny", sample_rate=SAMPLE_RATE, n_mels=N_MELS, window=400, hop=160, n_fft=512, fmax=8000.0, frames=FRAMES,
        stride=16, width=part.width, depth=part.depth, heads=part.heads, scene_hop_ms=1000,
        attributes={group: list(data.GROUPS[group]) for group in ("mood", "tempo")},
    )  # fmt: skip


def target(clip: Clip) -> Float[np.ndarray, " label"]:
    """The distribution over AudioSet labels that a clip is to be heard as; sums to 1."""
    wanted = np.zeros(N_CLASSES)
    for group, word in (("instrument", clip.instrument), ("genre", data.style(clip.genre))):
        main, *related = data.labels_of(group, word)
        wanted[main] += _MAIN
        for label in related or [main]:
            wanted[label] += _RELATED / max(1, len(related))
    wanted[[_MUSIC, _MUSICAL_INSTRUMENT]] += _GENERAL
    return wanted + (1.0 - wanted.sum()) / N_CLASSES


def _rows(config: TinyConfig) -> Int[np.ndarray, " clip"]:
    """Corpus rows whose spectrograms are kept: the first training clips, then all held-out ones."""
    _, held_out = data.splits(config.corpus, config.seed)
    train = np.arange(min(config.classifier.clips, config.corpus.train))
    return np.concatenate([train, held_out.offset + np.arange(len(held_out))])


def spoil(
    codes: Int[Tensor, "clip codebook frame"], random: np.random.Generator, size: int
) -> Int[Tensor, "clip codebook frame"]:
    """Codes with some replaced by random ones of `size`: the finer the codebook the more."""
    share = random.random((len(codes), 1, 1)) * np.array(_WRONG)[: codes.shape[1], None]
    wrong = torch.from_numpy(random.random(codes.shape) < share)
    return torch.where(wrong, torch.from_numpy(random.integers(size, size=codes.shape)), codes.long())


@torch.no_grad()
def _write_mels(path: Path, workspace: Workspace) -> None:
    rows, audio = _rows(workspace.config), workspace.load_array("corpus")
    codes, model = workspace.load_tensors("codes")["codes"], codec.load(workspace, workspace.config.codec)
    listener = PaSST(shape(workspace.config))
    mels = open_memmap(path, mode="w+", dtype=np.float16, shape=(len(VERSIONS), len(rows), N_MELS, FRAMES))
    for start in loop.tracked(range(0, len(rows), 8), "mels"):
        part = slice(start, start + 8)
        clean, tokens = torch.from_numpy(data.read(audio, rows[part])), codes[rows[part]]
        random = loop.generator(workspace.config.seed, "mels", start)
        spoilt = spoil(tokens, random, workspace.config.codec.codebook_size)
        for version, clips in enumerate((clean, codec.decode(model, tokens), codec.decode(model, spoilt))):
            mels[version, part] = listener.spectrogram(clips).numpy()
    mels.flush()


def run_mels(workspace: Workspace) -> None:
    """The mels stage: [version, clip, mel, frame], float16, the versions those of VERSIONS."""
    with replacing(workspace.result_path("mels")) as path:
        _write_mels(path, workspace)
    workspace.seal("mels")


class _Trainer:
    """Draws spectrograms and computes the loss of a step."""

    def __init__(self, workspace: Workspace, model: PaSST) -> None:
        self.model, self.config, self.seed = model, workspace.config.classifier, workspace.config.seed
        self.mels = workspace.load_array("mels")
        train, _ = data.splits(workspace.config.corpus, self.seed)
        clips = train.clips[: self.config.clips]
        self.targets = np.stack([target(clip) for clip in clips]).astype(np.float32)
        self.classes = {
            group: torch.from_numpy(found) for group, found in data.classes(map(data.prompt_of, clips)).items()
        }

    def loss(self, step: int) -> Float[Tensor, ""]:
        """Cross-entropy with the target over 527 labels, within instruments and genres, and of mood and tempo."""
        random = loop.generator(self.seed, "classifier", step)
        rows = random.integers(len(self.targets), size=self.config.loop.batch)
        both = step >= self.config.clean_only * self.config.loop.steps
        versions = random.integers(len(VERSIONS) if both else 1, size=len(rows))
        mels = torch.from_numpy(self.mels[versions, rows].astype(np.float32))[:, None]
        logits, features = self.model.net(mels + 0.05 * torch.randn_like(mels))
        wanted = torch.from_numpy(self.targets[rows])
        return F.cross_entropy(logits, wanted) + self._group_losses(logits, features, rows)

    def _group_losses(
        self, logits: Float[Tensor, "row label"], features: Float[Tensor, "row channel"], rows: np.ndarray
    ) -> Float[Tensor, ""]:
        total = logits.new_zeros(())
        for group in ("instrument", "genre"):
            among = logits[:, list(data.group_labels(group))]
            total = total + 0.3 * F.cross_entropy(among, self.classes[group][rows])
        for group, head in self.model.attribute_heads.items():
            total = total + 0.4 * F.cross_entropy(head(features), self.classes[group][rows])
        return total


def run(workspace: Workspace) -> None:
    """The classifier stage."""
    torch.manual_seed(loop.derive_seed(workspace.config.seed, "classifier", -1))
    config = workspace.config.classifier
    model = PaSST(shape(workspace.config), patchout=config.patchout)
    loop.train(workspace, "classifier", model, config.loop, _Trainer(workspace, model).loss)
    workspace.save_tensors("classifier", model.state_dict())


def load(workspace: Workspace) -> PaSST:
    """The trained classifier of a folder."""
    return PaSST(shape(workspace.config)).load_weights(workspace.load_tensors("classifier"))
