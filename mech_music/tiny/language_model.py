"""Training of tiny's MusicGen language model: audiocraft's delay-pattern transformer with its T5 text encoder.

MusicGen: Copet et al., NeurIPS 2023. Classifier-free guidance: whole prompts are dropped at random in training.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from audiocraft.models.builders import get_lm_model
from audiocraft.models.lm import LMModel
from jaxtyping import Bool, Float, Int
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mech_music.base.quiet import quiet_imports
from mech_music.tiny import T5_NAME, data, loop, register_t5, text_encoder
from mech_music.tiny.config import CodecConfig, LanguageModelConfig
from mech_music.tiny.workspace import StageFolder, Workspace

# Audiocraft does not mask padding (padded keys are zeros that share in the softmax), so the length that a batch is
# padded to matters: training draws it, for prompts alone as well as in company. Tokens: probability.
_PADDED_LENGTHS = {15: 0.15, 16: 0.1, 17: 0.35, 18: 0.4}


LossOf = Callable[[LMModel, Int[Tensor, "row codebook frame"], dict[str, Any]], Float[Tensor, ""]]


class Shape(Protocol):
    """What decides a model's shape."""

    codec: CodecConfig
    language_model: LanguageModelConfig


@dataclass(frozen=True)
class Lesson:
    """What training reads before step ``until``: these rows of the codes alone, and what is made of them."""

    until: int
    rows: Sequence[int]
    change: Callable[[Tensor, Int[np.ndarray, " row"], np.random.Generator], Tensor] | None = None


@dataclass(frozen=True)
class Texts:
    """The prompts of codes, in their order; the tokenizer's pieces; lengths in tokens that a batch may be padded to.

    A batch has prompts of at most its length. ``padded_lengths`` gives each its probability.
    """

    prompts: Sequence[str]
    pieces: tuple[str, ...]
    padded_lengths: Mapping[int, float]
    lessons: Sequence[Lesson] = ()


def lm_config(config: Shape) -> dict[str, Any]:
    """The config of the language model in audiocraft's terms (`xp.cfg` of state_dict.bin)."""
    lm = config.language_model
    return {
        "lm_model": "transformer_lm", "device": "cpu", "dtype": "float32", "sample_rate": 16_000, "channels": 1,
        # MusicGen refuses to extend clips of models trained on less than 18 s; tiny's own are 4 s.
        "dataset": {"segment_duration": 30},
        "conditioners": {"description": {"model": "t5", "t5": {
            "name": T5_NAME, "finetune": True, "word_dropout": 0.0, "normalize_text": False,
        }}},
        "fuser": {
            "cross_attention_pos_emb": False, "cross_attention_pos_emb_scale": 1, "sum": [], "prepend": [],
            "cross": ["description"], "input_interpolate": [],
        },
        "codebooks_pattern": {"modeling": "delay", "delay": {
            "delays": list(range(config.codec.codebooks)), "flatten_first": 0, "empty_initial": 0,
        }},
        "attribute_dropout": {},
        "classifier_free_guidance": {"training_dropout": lm.condition_dropout, "inference_coef": 3.0},
        "transformer_lm": {
            "n_q": config.codec.codebooks, "card": config.codec.codebook_size, "dim": lm.width, "num_heads": lm.heads,
            "num_layers": lm.layers, "hidden_scale": 4, "dropout": 0.0, "activation": "gelu", "norm_first": True,
            "norm": "layer_norm", "bias_ff": False, "bias_attn": False, "bias_proj": False, "causal": True,
            "custom": False, "memory_efficient": True, "positional_embedding": "sin", "weight_init": "gaussian",
            "depthwise_init": "current", "zero_bias_init": True,
        },
    }  # fmt: skip


def build(workspace: StageFolder, config: Shape, pieces: Sequence[str] | None = None) -> LMModel:
    """An untrained language model; its T5 folder (of these pieces, or tiny's own) is written into the workspace."""
    t5 = workspace.folder / "t5"
    text_encoder.save(config.language_model, t5, pieces)
    register_t5(t5)
    torch.manual_seed(loop.derive_seed(workspace.seed, "language_model", -1))
    with quiet_imports():
        return get_lm_model(OmegaConf.create(lm_config(config)))


class Trainer:
    """Draws batches of codes and prompts and computes the loss of a step of a stage.

    ``settings``: rows of a batch, and which share of prompts is dropped. ``precision``: what a step runs in.
    """

    def __init__(
        self,
        workspace: StageFolder,
        model: LMModel,
        stage: str,
        settings: tuple[int, float],
        codes: Int[Tensor, "clip codebook frame"],
        texts: Texts,
        precision: Callable[[], AbstractContextManager[Any]],
        loss_of: LossOf,
    ) -> None:
        self.model, self.stage, self.codes, self.precision, self.loss_of = model, stage, codes, precision, loss_of
        self.batch, self.condition_dropout = settings
        self.seed, self.padded_lengths = workspace.seed, texts.padded_lengths
        tokenizer = text_encoder.make_tokenizer(texts.pieces)
        self.ids = [tokenizer(prompt)["input_ids"] for prompt in texts.prompts]
        lengths = np.array([len(ids) for ids in self.ids])
        self.rows = {length: np.flatnonzero(lengths <= length) for length in self.padded_lengths}
        self.lessons = texts.lessons

    def text(self, rows: Int[np.ndarray, " row"], length: int, dropped: np.ndarray) -> dict[str, Any]:
        """Encoded prompts, padded to `length`; those of dropped rows are nothing, as the empty prompt is."""
        ids, mask = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length, dtype=torch.long)
        for place, row in enumerate(rows):
            if not dropped[place]:
                ids[place, : len(self.ids[row])] = torch.tensor(self.ids[row])
                mask[place, : len(self.ids[row])] = 1
        return self.model.condition_provider({"description": {"input_ids": ids, "attention_mask": mask}})

    def loss(self, step: int) -> Float[Tensor, ""]:
        """Cross-entropy of the codes in nats, averaged over codebooks and frames."""
        random = loop.generator(self.seed, self.stage, step)
        length = int(random.choice(list(self.padded_lengths), p=list(self.padded_lengths.values())))
        lesson = next((one for one in self.lessons if step < one.until), None)
        rows = self.rows[length] if lesson is None else np.intersect1d(self.rows[length], lesson.rows)
        rows = random.choice(rows, size=self.batch)
        dropped = random.random(len(rows)) < self.condition_dropout
        codes = self.codes[rows].long()
        if lesson is not None and lesson.change is not None:
            codes = lesson.change(codes, rows, random)
        with self.precision():
            return self.loss_of(self.model, codes, self.text(rows, length, dropped))


def mean_cross_entropy(
    model: LMModel, codes: Int[Tensor, "row codebook frame"], text: dict[str, Any]
) -> Float[Tensor, ""]:
    """`cross_entropy` over all rows and codebooks."""
    return cross_entropy(model, codes, text).mean()


@contextmanager
def in_bfloat16() -> Iterator[None]:
    """Twice as fast as float32 on processors that have bfloat16, and nine times slower on others.

    The fused attention's backward pass in bfloat16 takes as long as everything else together on a CPU.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        yield


def token_losses(
    model: LMModel, codes: Int[Tensor, "row codebook frame"], text: dict[str, Any]
) -> tuple[Float[Tensor, "row codebook frame"], Bool[Tensor, "row codebook frame"]]:
    """Negative log-likelihood of every code given encoded prompts, in nats; and which codes are predicted at all."""
    output = model.compute_predictions(codes, [], condition_tensors=text)
    valid = output.mask
    logits = torch.where(valid[..., None], output.logits, 0.0).float()
    return F.cross_entropy(logits.permute(0, 3, 1, 2), codes, reduction="none") * valid, valid


def cross_entropy(
    model: LMModel, codes: Int[Tensor, "row codebook frame"], text: dict[str, Any]
) -> Float[Tensor, "row codebook"]:
    """Mean negative log-likelihood of codes given encoded prompts, in nats a token, by row and codebook."""
    loss, valid = token_losses(model, codes, text)
    return loss.sum(-1) / valid.sum(-1)


def texts_of(workspace: Workspace) -> Texts:
    """The prompts of tiny's corpus."""
    train, _ = data.splits(workspace.config.corpus, workspace.seed)
    prompts = [data.prompt_of(clip).text for clip in train.clips]
    return Texts(prompts, text_encoder.vocabulary(), _PADDED_LENGTHS)


def run(workspace: Workspace) -> None:
    """The language-model stage."""
    fit(workspace, workspace.config, workspace.load_tensors("codes")["codes"], texts_of(workspace))


def fit(workspace: StageFolder, config: Shape, codes: Int[Tensor, "clip codebook frame"], texts: Texts) -> None:
    """Train a language model on codes and their prompts, and seal it."""
    model, settings = build(workspace, config, texts.pieces), config.language_model
    how = (settings.loop.batch, settings.condition_dropout)
    trainer = Trainer(workspace, model, "language_model", how, codes, texts, in_bfloat16, mean_cross_entropy)
    loop.train(workspace, "language_model", model, settings.loop, trainer.loss)
    workspace.save_tensors("language_model", model.state_dict())
