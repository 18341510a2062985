"""Questions to a language model: priced before they are asked, and answered once: every answer is kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, first_line
from mech_music.saes.progress import progress

log = logging.getLogger(__name__)
_TRIES, _WAIT, _TIMEOUT = 4, 1.0, 300.0  # requests, seconds before the second, seconds for one
_LETTERS = 4  # of a token, for the estimate
_ANSWER = 150  # tokens of one answer, for the estimate
_BUSY = (408, 409, 429, 500, 502, 503, 504)
Messages = list[dict[str, Any]]
Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Question:
    """What is sent. ``sound``: seconds of it, for the estimate."""

    messages: Messages
    sound: float = 0.0

    @property
    def letters(self) -> int:
        """Of its text."""
        parts = [part for message in self.messages for part in message["content"]]
        return sum(len(part["text"]) for part in parts if part["type"] == "text")


@dataclass(frozen=True)
class Answer:
    """What came back, and the tokens that were counted; 0 where the provider does not say."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Price:
    """USD for a million tokens, NaN where it is not known; tokens of a second of sound."""

    sent: float
    received: float
    audio_tokens: float

    def of(self, letters: float, sound: float, answers: float) -> float:
        """USD."""
        sent = letters / _LETTERS + sound * self.audio_tokens
        return (sent * self.sent + answers * _ANSWER * self.received) / 1e6

    def paid(self, answer: Answer) -> float:
        """USD."""
        return (answer.tokens_in * self.sent + answer.tokens_out * self.received) / 1e6


@dataclass(frozen=True)
class Provider:
    """``http``: an endpoint that speaks OpenAI's chat completions, at ``url``; ``litellm``: whatever that reaches."""

    kind: str
    model: str
    url: str | None
    key_env: str | None

    @property
    def key(self) -> str | None:
        """UserError for an environment variable that is not set."""
        if self.key_env and not os.environ.get(self.key_env):
            raise UserError(
                f"labeller.key_env={self.key_env}: this environment variable is not set: put the key of "
                f"{self.model} there, or set labeller.key_env=null for a model that asks for none"
            )
        return os.environ[self.key_env] if self.key_env else None

    def send(self, messages: Messages) -> Answer:
        """One request; a busy server is asked again. UserError for whatever else goes wrong."""
        found = self._post(messages) if self.kind == "http" else self._by_litellm(messages)
        try:
            text, used = found["choices"][0]["message"]["content"], found.get("usage") or {}
            return Answer(str(text), int(used.get("prompt_tokens") or 0), int(used.get("completion_tokens") or 0))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise UserError(f"{self.url or self.model} gave no answer to be read ({first_line(error)})") from None

    def _post(self, messages: Messages) -> Any:
        body = json.dumps({"model": self.model, "messages": messages, "temperature": 0}).encode()
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {key}"} if (key := self.key) else {}
        )
        address = f"{str(self.url).rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, body, headers)
        why = ""
        for attempt in range(_TRIES):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT) as reply:
                    return json.loads(reply.read())
            except urllib.error.HTTPError as error:
                why, again = f"HTTP {error.code} {error.reason}", error.code in _BUSY
                error.close()
            except (OSError, ValueError) as error:
                why, again = first_line(error), True
            if not again or attempt == _TRIES - 1:
                break
            time.sleep(_WAIT * 2**attempt)
        raise UserError(
            f"labeller.url={self.url}: model '{self.model}' does not answer ({why}): what was answered is kept"
        )

    def _by_litellm(self, messages: Messages) -> Any:
        try:
            import litellm  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UserError(
                "labeller.provider=litellm needs a package that is not installed: pip install litellm, or "
                "use provider=http"
            ) from None
        try:
            reply = litellm.completion(
                model=self.model, messages=messages, temperature=0, api_base=self.url, api_key=self.key,
                num_retries=_TRIES - 1,
            )  # fmt: skip
        except UserError:
            raise
        except Exception as error:  # each provider has its own
            raise UserError(
                f"labeller.model={self.model} does not answer through litellm ({first_line(error)}): what was "
                "answered is kept"
            ) from None
        return reply.model_dump()


class Chat:
    """Asks a provider within a budget (USD). ``folder``: where answers are kept, by all that decides them."""

    def __init__(self, provider: Provider, price: Price, budget: float, folder: Path, parallel: int = 1) -> None:
        self._provider, self._price, self._budget = provider, price, budget
        self._folder, self._parallel, self._spent, self._counting = folder, parallel, 0.0, threading.Lock()

    def ask(
        self,
        what: str,
        questions: int,
        build: Callable[[int], Question],
        parse: Callable[[int, str], Parsed],
        later: Callable[[int, float], float] = lambda n, sound: 0.0,
    ) -> list[Parsed]:
        """The parsed answer to each question; those that were answered before are read, the others priced and asked.

        Args:
            parse: what a text says; ValueError for nonsense, which is not kept.
            later: USD that so many new answers, with so many seconds of sound, will cause afterwards.

        Raises:
            UserError: above the budget, before anything is sent; for nonsense; for what `Provider.send` raises.
        """
        found: dict[int, Parsed] = {}
        letters, sound, missing = 0, 0.0, []
        for number in range(questions):
            question = build(number)
            kept = self._kept(question)
            try:
                if kept is not None:
                    found[number] = parse(number, kept)
                    continue
            except ValueError:
                log.warning("a kept answer is no good any more: it is asked for again")
            missing.append(number)
            letters, sound = letters + question.letters, sound + question.sound
        if missing:
            costs = self._price.of(letters, sound, len(missing)) + later(len(missing), sound)
            self._allow(what, len(missing), questions, costs)
            with progress(what, len(missing)) as show, ThreadPoolExecutor(self._parallel) as pool:
                jobs = {number: pool.submit(self._answered, number, build, parse) for number in missing}
                try:
                    for number, job in jobs.items():
                        found[number] = job.result()
                        show(1, f"{self._spent:.2f} USD")
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        return [found[number] for number in range(questions)]

    def _allow(self, what: str, n: int, of: int, costs: float) -> None:
        if math.isnan(costs):
            raise UserError(
                f"what {self._provider.model} costs is not known: set labeller.price_in and labeller.price_out (USD "
                "for a million tokens; 0 for a model of your own)"
            )
        told = f"{what}: {n} questions to {self._provider.model} ({of - n} are answered), about {costs:.2f} USD"
        Console(stderr=True).print(f"{told}; budget {self._budget:g} USD", highlight=False)
        if self._spent + costs > self._budget:
            spent = f" after {self._spent:.2f}" if self._spent else ""
            raise UserError(
                f"{told}{spent} is above labeller.budget={self._budget:g}: raise it, or set labels.features"
            )
        _ = self._provider.key

    def _answered(self, number: int, build: Callable[[int], Question], parse: Callable[[int, str], Parsed]) -> Parsed:
        question = build(number)
        answer = self._provider.send(question.messages)
        with self._counting:
            self._spent += self._price.paid(answer)
        try:
            parsed = parse(number, answer.text)
        except ValueError as error:
            start = " ".join(answer.text.split())[:80]
            raise UserError(
                f"labeller.model={self._provider.model} answers nonsense ({error}): '{start}'; use another model; "
                "what was answered well is kept"
            ) from None
        self._keep(question, answer)
        if self._spent > max(self._budget, 0.0) + 1e-12:
            raise UserError(
                f"labeller.budget={self._budget:g} is used up ({self._spent:.2f} USD): answers are kept, raise it"
            )
        return parsed

    # -- what was answered -----------------------------------------------------------------------------------

    def _path(self, question: Question) -> Path:
        one = self._provider
        deciding = json.dumps([one.kind, one.url, one.model, question.messages])
        key = hashlib.sha256(deciding.encode()).hexdigest()
        return self._folder / key[:2] / f"{key}.json"

    def _kept(self, question: Question) -> str | None:
        try:
            return str(json.loads(self._path(question).read_text())["text"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            log.warning("a kept answer is damaged (%s): it is asked for again", first_line(error))
            return None

    def _keep(self, question: Question, answer: Answer) -> None:
        written = {"model": self._provider.model, "text": answer.text, "in": answer.tokens_in, "out": answer.tokens_out}
        with replacing(self._path(question)) as partial:
            partial.write_text(json.dumps(written))
