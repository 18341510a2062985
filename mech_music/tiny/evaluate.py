"""Measure a bundle: `python -m mech_music.tiny.evaluate` prints one table, with standard errors.

Everything goes through the files that users load: audiocraft's `MusicGen.get_pretrained` and `load_classifier`.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
import numpy as np
import torch
from hydra.core.config_store import ConfigStore
from jaxtyping import Float, Int
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.config.paths import conf_dir
from mech_music.config.schema import ClassifierConfig
from mech_music.listeners.tiny import TinyPaSST
from mech_music.prompts.concepts import Prompt
from mech_music.tiny import bundle_dir, data, loop, register_t5, synth, verify_bundle
from mech_music.tiny.judge import Judge, describe

log = logging.getLogger(__name__)
Classes = dict[str, Int[np.ndarray, " clip"]]
Audio = Float[Tensor, "clip sample"]


@dataclass
class EvaluateConfig:
    """What to measure. `generated`: clips for each guidance of `guidance`, a multiple of ten."""

    bundle: str = ""
    seed: int = 2024
    threads: int = 2
    held_out: int = 500
    generated: list[int] = field(default_factory=lambda: [500, 250])
    guidance: list[float] = field(default_factory=lambda: [3.0, 1.0])
    judge_clips: int = 1200
    batch: int = 48
    truths: bool = True
    speed: bool = True


class Subject:
    """The bundle under test."""

    def __init__(self, folder: Path) -> None:
        with quiet_imports():
            import hear21passt.base  # noqa: F401  (its import is not part of the load)
            from audiocraft.models.musicgen import MusicGen
        start = time.perf_counter()
        register_t5(folder / "t5")
        with quiet_imports():
            self.model = MusicGen.get_pretrained(str(folder), device="cpu")
        self.listener = TinyPaSST.load(ClassifierConfig(name="tiny", path=str(folder)), "cpu")
        self.load_seconds = time.perf_counter() - start

    @torch.no_grad()
    def encode(self, audio: Audio) -> Int[Tensor, "clip codebook frame"]:
        """Tokens of clips."""
        codes = [self.model.compression_model.encode(part[:, None])[0] for part in audio.split(8)]
        return torch.cat(codes)

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "clip codebook frame"], batch: int = 4) -> Audio:
        """Audio of tokens, `batch` clips at a time."""
        parts = [torch.as_tensor(self.model.compression_model.decode(part)) for part in codes.split(batch)]
        return torch.cat(parts)[:, 0]

    def reconstruct(self, audio: Audio) -> Audio:
        """Clips through the codec and back."""
        return self.decode(self.encode(audio))

    def generate(
        self, prompts: Sequence[Prompt], guidance: float, seed: int, batch: int
    ) -> Int[Tensor, "clip codebook frame"]:
        """Tokens of one clip for every prompt, in audiocraft's own way (top-k 250, temperature 1)."""
        self.model.set_generation_params(duration=4.0, cfg_coef=guidance, top_k=min(250, self.model.lm.card))
        torch.manual_seed(seed)
        parts = []
        for start in loop.tracked(range(0, len(prompts), batch), f"generate, guidance {guidance:g}"):
            texts = [prompt.text for prompt in prompts[start : start + batch]]
            attributes, _ = self.model._prepare_tokens_and_attributes(texts, None)
            parts.append(self.model._generate_tokens(attributes, None))
        return torch.cat(parts)

    def hear(self, audio: Audio) -> Classes:
        """The class heard in each clip, by group: the loudest label of its group."""
        logits, groups = [], {"mood": [], "tempo": []}
        for part in audio.split(4):
            labels, further = self.listener.listen(part, synth.SAMPLE_RATE)
            logits.append(labels)
            for name, found in groups.items():
                found.append(further[name])
        heard = {name: torch.cat(found).argmax(1).numpy() for name, found in groups.items()}
        for group in ("instrument", "genre"):
            heard[group] = torch.cat(logits)[:, list(data.group_labels(group))].argmax(1).numpy()
        return heard


def paper_prompts(n: int) -> list[Prompt]:
    """`n` prompts, as many for each concept, spread evenly over the paper's hundred of that concept."""
    concepts = data.STUDY.studied
    each, rest = divmod(n, len(concepts))
    if rest or not 1 <= each <= 100:
        raise UserError(f"generated={n}: must be a multiple of {len(concepts)} up to {100 * len(concepts)}")
    picks = np.linspace(0, 99, each).round().astype(int)
    return [data.STUDY.concept_prompts(concept, 100)[i] for concept in concepts for i in picks]


def _share(right: np.ndarray) -> str:
    """A proportion and its standard error."""
    p = right.mean()
    return f"{p:.3f} ± {np.sqrt(p * (1 - p) / len(right)):.3f}"


class Report:
    """The one table."""

    def __init__(self) -> None:
        self.table = Table(title="musicgen-tiny", title_justify="left")
        for column in ("what", "n", *data.GROUPS):
            self.table.add_column(column, justify="left" if column == "what" else "right")

    def accuracy(self, name: str, wanted: Classes, heard: Classes) -> None:
        """A row of accuracies, one for each group."""
        shares = [_share(wanted[group] == heard[group]) if group in heard else "" for group in data.GROUPS]
        self.table.add_row(name, str(len(wanted["genre"])), *shares)

    def confusion(self, group: str, wanted: Classes, heard: Classes) -> None:
        """What was heard for each word of a group, in percent."""
        words = data.GROUPS[group]
        self.table.add_section()
        self.table.add_row(f"[bold]{group}[/bold] asked, heard in %", "", " · ".join(words))
        for index, word in enumerate(words):
            asked = wanted[group] == index
            if asked.any():
                counts = np.bincount(heard[group][asked], minlength=len(words))
                self.table.add_row(
                    f"  {word}", str(asked.sum()), " · ".join(f"{100 * c / asked.sum():.0f}" for c in counts)
                )

    def number(self, name: str, n: int | str, value: str) -> None:
        """A row of one figure."""
        self.table.add_row(name, str(n), value)


def _held_out(config: EvaluateConfig, n: int, first: int) -> tuple[tuple[synth.Clip, ...], Audio]:
    clips = tuple(data.clip_at(config.seed, first + i) for i in range(n))
    return clips, torch.from_numpy(np.stack([synth.render(clip) for clip in clips]))


def fit_judge(config: EvaluateConfig, subject: Subject) -> Judge:
    """The second judge, which learns from clean and reconstructed clips and never hears the language model."""
    clips, audio = _held_out(config, config.judge_clips, 0)
    features = np.concatenate([describe(audio.numpy()), describe(subject.reconstruct(audio).numpy())])
    wanted = {group: np.tile(found, 2) for group, found in data.classes(map(data.prompt_of, clips)).items()}
    return Judge(config.seed).fit(features, wanted)


def _accuracies(config: EvaluateConfig, subject: Subject, report: Report) -> None:
    judge = fit_judge(config, subject)
    clips, clean = _held_out(config, config.held_out, data.HELD_OUT_SEED)
    wanted = data.classes(map(data.prompt_of, clips))
    for name, audio in (("clean", clean), ("reconstructed", subject.reconstruct(clean))):
        report.accuracy(f"held-out {name}: classifier", wanted, subject.hear(audio))
        report.accuracy(f"held-out {name}: second judge", wanted, judge.hear(describe(audio.numpy())))
    for guidance, n in zip(config.guidance, config.generated, strict=True):
        prompts = paper_prompts(n)
        asked = data.classes(prompts)
        audio = subject.decode(subject.generate(prompts, guidance, config.seed, config.batch))
        heard = subject.hear(audio)
        report.accuracy(f"generated, guidance {guidance:g}: classifier", asked, heard)
        report.accuracy(f"generated, guidance {guidance:g}: second judge", asked, judge.hear(describe(audio.numpy())))
        if guidance == config.guidance[0]:
            for group in data.GROUPS:
                report.confusion(group, asked, heard)
            report.table.add_section()


def _losses(config: EvaluateConfig, subject: Subject, report: Report) -> None:
    """Cross-entropy of held-out codes with their own prompt, another clip's, and none."""
    from audiocraft.modules.conditioners import ConditioningAttributes

    from mech_music.tiny.language_model import cross_entropy

    clips, audio = _held_out(config, min(config.held_out, 256), data.HELD_OUT_SEED)
    lm = subject.model.lm
    texts: list[str | None] = [data.prompt_of(clip).text for clip in clips]
    versions = {"own prompt": texts, "another clip's prompt": texts[1:] + texts[:1], "no prompt": [None] * len(texts)}
    with torch.no_grad():
        codes = subject.encode(audio)
        for name, prompts in versions.items():
            losses = []
            for start in range(0, len(clips), 32):
                attributes = [ConditioningAttributes(text={"description": t}) for t in prompts[start : start + 32]]
                text = lm.condition_provider(lm.condition_provider.tokenize(attributes))
                losses.append(cross_entropy(lm, codes[start : start + 32], text))
            each = torch.cat(losses)
            mean, error = each.mean().item(), each.mean(1).std().item() / len(each) ** 0.5
            books = " / ".join(f"{book:.2f}" for book in each.mean(0).tolist())
            report.number(f"loss, {name} (nats a token)", len(each), f"{mean:.3f} ± {error:.3f} ({books})")


def _seconds(action: Callable[[], Any], repeats: int = 3) -> float:
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def _fastest(report: Report, name: str, generate: Callable[[int], Any]) -> None:
    seconds = {batch: _seconds(lambda b=batch: generate(b), 1) / batch for batch in (24, 48, 96, 128)}
    best = min(seconds, key=lambda b: seconds[b])
    report.number(name, f"batch {best}", f"{seconds[best]:.4f}")


def _speed(config: EvaluateConfig, subject: Subject, report: Report) -> None:
    """Seconds a clip at the best batch size of a few; generation by audiocraft alone, then as experiments do it."""
    from mech_music.models.musicgen.model import HookedMusicGen

    prompts = paper_prompts(200)
    _fastest(report, "generate, s a clip (audiocraft)", lambda b: subject.generate(prompts[:b], 3.0, 0, b))
    hooked, texts = HookedMusicGen(subject.model), [prompt.text for prompt in prompts]
    torch.set_num_threads(1)
    _fastest(report, "generate, s a clip (mech_music, one thread)", lambda b: hooked.generate(texts[:b]))
    torch.set_num_threads(config.threads)
    codec, hearing = subject.model.compression_model, {}
    codes = torch.randint(0, codec.cardinality, (16, codec.num_codebooks, 100))
    for batch in (1, 2, 4, 8, 16):
        decoding = _seconds(lambda b=batch: subject.decode(codes[:b], b)) / batch
        audio = subject.decode(codes[:batch], batch)
        listening = _seconds(lambda a=audio: subject.listener.logits(a, synth.SAMPLE_RATE)) / batch
        hearing[batch] = (decoding + listening, decoding, listening)
    best = min(hearing, key=lambda b: hearing[b])
    total, decoding, listening = hearing[best]
    report.number("decode + classify, s a clip", f"batch {best}", f"{total:.4f} = {decoding:.4f} + {listening:.4f}")
    report.number("load, s (after imports)", config.threads, f"{subject.load_seconds:.2f}")


def _sizes(folder: Path, subject: Subject, report: Report) -> None:
    models = {"language model with T5": subject.model.lm, "codec": subject.model.compression_model}
    for name, model in (models | {"classifier": subject.listener}).items():
        report.number(f"parameters, {name}", "", f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    report.number("bundle", "", f"{size / 1e6:.2f} MB")


def run(config: EvaluateConfig) -> Table:
    """Measure the bundle of a folder (default: the packaged one). Raises UserError if it is not whole."""
    torch.set_num_threads(config.threads)
    folder = verify_bundle(Path(config.bundle).resolve()) if config.bundle else bundle_dir()
    subject, report = Subject(folder), Report()
    _accuracies(config, subject, report)
    _losses(config, subject, report)
    if config.truths:
        from mech_music.tiny.truths import measure

        for name, n, value in measure(subject, config.seed):
            report.number(name, n, value)
    if config.speed:
        _speed(config, subject, report)
    _sizes(folder, subject, report)
    return report.table


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "tiny"), config_name="evaluate")
def _app(config: DictConfig) -> None:
    typed = OmegaConf.to_object(config)
    assert isinstance(typed, EvaluateConfig)
    try:
        Console(width=160).print(run(typed))
    except UserError as error:
        log.error("%s", error)
        sys.exit(1)


def main() -> None:
    """Entry point."""
    ConfigStore.instance().store(name="evaluate_schema", node=EvaluateConfig)
    _app()


if __name__ == "__main__":
    main()
