"""A language model as a labeller: it is given a feature's strongest clips, and later tries its label on others."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeGuard

import numpy as np
from jaxtyping import Bool, Float

from mech_music.base.errors import UserError, unknown
from mech_music.config.paths import default_store_dir
from mech_music.labels.chat import Chat, Messages, Price, Provider, Question
from mech_music.labels.protocol import ClipSet, Evidence, Label

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig

_PROVIDERS, _HEARS = ("http", "litellm"), ("sound", "prompts")
_LONGEST = 100  # letters of a label
_FIND = (
    "A neural network makes music. One unit of it is active in the first {n} of the following clips, and silent in the "
    "other {m}. Say what the first ones have in common that the others lack: an instrument, a genre, a rhythm, a mood, "
    "a way of playing or of recording, whatever a listener would call it. Answer with JSON alone, in this form: "
    '{{"label": "<at most six words>", "confidence": <0 to 1, how sure you are>, "description": "<one sentence>"}}'
)
_TRY = (
    'Something in music is called "{label}" ({description}). For each of the {n} clips that follow, in order, say '
    "how sure you are that it has this, from 0 (certainly not) to 1 (certainly). Answer with JSON alone, in this form: "
    '{{"present": [<{n} numbers>]}}'
)


class LanguageModel:
    """Any model that takes clips as ``input_audio`` (WAV), or (``hears=prompts``) reads their prompts.

    UserError, one line, for settings that make no sense.
    """

    listeners: tuple[str, ...] = ()
    threshold: float | None = 0.5
    deals = 1

    def __init__(self, chat: Chat, price: Price, hears: str, contrast: int, judged: int) -> None:
        self._chat, self._price, self._hears, self._contrast, self.judged = chat, price, hears, contrast, judged

    @classmethod
    def from_run(
        cls,
        run: RunConfig,
        model: str | None,
        provider: str,
        url: str | None,
        key_env: str | None,
        hears: str,
        contrast: int,
        judged: int,
        price_in: float | None,
        price_out: float | None,
        audio_tokens: float,
        budget: float,
        answers: str | None,
        parallel: int,
    ) -> Self:
        """Of a config; nothing is sent."""
        for key, value, allowed in (("provider", provider, _PROVIDERS), ("hears", hears, _HEARS)):
            if value not in allowed:
                raise UserError(unknown(f"labeller.{key}", value, allowed))
        if not model:
            raise UserError("labeller.model=null: name the model that labels, as its provider calls it")
        if provider == "http" and not str(url or "").startswith(("http://", "https://")):
            raise UserError(
                f"labeller.url={url}: expected the address of an endpoint, such as http://localhost:8000/v1"
            )
        numbers = {"contrast": contrast, "judged": judged, "parallel": parallel, "budget": budget}
        for key, value in numbers.items():
            least = {"judged": 4, "parallel": 1}.get(key, 0)
            if not (math.isfinite(value) and value >= least):
                raise UserError(f"labeller.{key}={value:g}: expected {least} or more")
        sent, received = (math.nan if one is None else float(one) for one in (price_in, price_out))
        price = Price(sent, received, float(audio_tokens))
        store = Path(run.engine.store).expanduser() if run.engine.store else default_store_dir()
        folder = Path(answers).expanduser() if answers else store / "labels"
        chat = Chat(Provider(provider, model, url, key_env), price, float(budget), folder, parallel)
        return cls(chat, price, hears, contrast, judged)

    def label(self, features: Sequence[Evidence], clips: ClipSet) -> list[Label]:
        """One question for each feature."""

        def build(number: int) -> Question:
            one = features[number]
            other = one.contrast[: self._contrast]
            text = _FIND.format(n=len(one.strongest), m=len(other))
            return self._question(text, [*one.strongest, *other], clips)

        def later(n: int, sound: float) -> float:
            """Each label is tried where its feature is looked for, and once where another is."""
            shown = sum(len(one.strongest) + len(one.contrast[: self._contrast]) for one in features) / len(features)
            tries, letters = (1 + self.deals) * n, len(_TRY) + 200 + 20 * self.judged
            return self._price.of(tries * letters, tries * self.judged * sound / n / shown, tries)

        return self._chat.ask("labels", len(features), build, lambda _, text: _label(text), later) if features else []

    def applies(
        self, labels: Sequence[Label], clips: ClipSet, asked: Bool[np.ndarray, "label clip"]
    ) -> Float[np.ndarray, "label clip"]:
        """One question for each label that there is."""
        found = np.full(asked.shape, np.nan)
        there = [place for place, one in enumerate(labels) if one.text and asked[place].any()]
        places = {place: np.flatnonzero(asked[place]) for place in there}

        def build(number: int) -> Question:
            one = labels[there[number]]
            own = places[there[number]]
            text = _TRY.format(label=one.text, description=one.description, n=len(own))
            return self._question(text, own.tolist(), clips)

        def parse(number: int, text: str) -> list[float]:
            return _numbers(text, len(places[there[number]]))

        for place, values in zip(there, self._chat.ask("labels tried", len(there), build, parse), strict=True):
            found[place, places[place]] = values
        return found

    def _question(self, text: str, places: Sequence[int], clips: ClipSet) -> Question:
        parts: Messages = [{"type": "text", "text": text}]
        if self._hears == "prompts":
            lines = [f"Clip {number}: {clips.rows[place].prompt}" for number, place in enumerate(places, 1)]
            return Question([{"role": "user", "content": [*parts, {"type": "text", "text": "\n".join(lines)}]}])
        waves, rate = clips.sound(places)
        for number, wave in enumerate(waves, 1):
            parts.append({"type": "text", "text": f"Clip {number}:"})
            parts.append({"type": "input_audio", "input_audio": {"data": _wav(wave, rate), "format": "wav"}})
        return Question([{"role": "user", "content": parts}], float(waves.size / rate))


def _wav(wave: np.ndarray, rate: int) -> str:
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, wave.clip(-1, 1), rate, format="WAV", subtype="PCM_16")
    return base64.b64encode(content.getvalue()).decode()


def _json(text: str) -> dict[str, Any]:
    """The object in a text, whatever stands around it. ValueError if there is none."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ValueError("no JSON in it")
    try:
        return json.loads(text[start : end + 1])
    except ValueError:
        raise ValueError("its JSON cannot be read") from None


def _label(text: str) -> Label:
    found = _json(text)
    label, confidence = found.get("label"), found.get("confidence")
    if not isinstance(label, str) or not label.strip() or len(label) > _LONGEST:
        raise ValueError("no label of a few words")
    if not _is_share(confidence):
        raise ValueError("no confidence from 0 to 1")
    return Label(" ".join(label.split()), float(confidence), " ".join(str(found.get("description") or "").split()))


def _numbers(text: str, n: int) -> list[float]:
    present = _json(text).get("present")
    if not isinstance(present, list) or len(present) != n or not all(map(_is_share, present)):
        raise ValueError(f"not {n} numbers from 0 to 1")
    return [float(one) for one in present]


def _is_share(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
