"""A language model as a labeller, with a stand-in endpoint on this machine: what is sent, kept, refused and paid."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from mech_music.base.errors import UserError
from mech_music.edits.row import Row
from mech_music.engine.answers import Answers
from mech_music.labels import chat
from mech_music.labels.llm import LanguageModel
from mech_music.labels.protocol import ClipSet, Evidence, Label
from mech_music.labels.registry import open_labeller
from tests.composing import compose_run

RATE = 8000
LOUD = (0, 1, 2)  # of six clips, those that are loud: what the stand-in calls a feature by


class StandIn:
    """Speaks chat completions. It hears which clips are loud, and says so; ``says`` is said in place of that."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.says: list[str] = []
        self.errors: list[int] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"model": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, body: dict[str, Any]) -> str:
        self.asked.append(body)
        if self.says:
            return self.says.pop(0)
        parts = body["messages"][0]["content"]
        sounds = [part["input_audio"] for part in parts if part["type"] == "input_audio"]
        loud = [float(abs(soundfile.read(io.BytesIO(base64.b64decode(one["data"])))[0]).max() > 0.5) for one in sounds]
        if '"present"' in parts[0]["text"]:
            return json.dumps({"present": [0.9 * one for one in loud]})
        word = "loud" if np.mean(loud[:3]) > np.mean(loud[3:]) else "quiet"
        return f'Here you are: {{"label": "{word}", "confidence": 0.8, "description": "It is {word}."}}'


class _Handler(BaseHTTPRequestHandler):
    model: StandIn

    def do_POST(self) -> None:
        self.model.keys.append(self.headers.get("Authorization"))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.model.errors.pop(0) if self.model.errors else 200
        said = {"choices": [{"message": {"content": self.model.answer(body)}}]} if status == 200 else {}
        content = json.dumps(said | {"usage": {"prompt_tokens": 1000, "completion_tokens": 100}}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def model() -> Iterator[StandIn]:
    found = StandIn()
    yield found
    found.server.shutdown()
    found.server.server_close()


def sound(rows: Sequence[Row]) -> tuple[np.ndarray, int]:
    waves = [np.full(RATE // 2, 0.8 if row.seed in LOUD else 0.1 + 0.01 * row.seed, np.float32) for row in rows]
    return np.stack(waves), RATE


def quieter(rows: Sequence[Row]) -> tuple[np.ndarray, int]:
    waves, rate = sound(rows)
    return waves / 2, rate


CLIPS = ClipSet([Row(f"prompt {seed}", seed) for seed in range(6)], Answers({}, sound=sound))
LOUD_ONE = Evidence(7, np.array([0, 1, 2]), np.array([3, 4, 5]))
QUIET_ONE = Evidence(9, np.array([3, 4, 5]), np.array([0, 1]))


def labeller(model: StandIn, folder: Path, /, **more: Any) -> LanguageModel:
    run = compose_run("task=sae_labels", "labeller=llm")
    own = {"model": "stand-in", "provider": "http", "url": model.url, "price_in": 0.0, "price_out": 0.0}
    found = open_labeller(run.labeller | own | {"answers": str(folder), "parallel": 1} | more, run)
    assert isinstance(found, LanguageModel)
    return found


def test_it_hears_clips_and_tries_its_label_on_others(model: StandIn, tmp_path: Path) -> None:
    own = labeller(model, tmp_path)
    labels = own.label([LOUD_ONE, QUIET_ONE], CLIPS)
    assert labels == [Label("loud", 0.8, "It is loud."), Label("quiet", 0.8, "It is quiet.")]
    asked = np.array([[True, False, False, True, True, False], [False] * 6])
    found = own.applies(labels, CLIPS, asked)
    np.testing.assert_array_equal(found, [[0.9, np.nan, np.nan, 0, 0, np.nan], [np.nan] * 6])
    assert len(model.asked) == 3 and model.keys == [None] * 3
    first, *_, tried = model.asked
    assert first["model"] == "stand-in" and first["temperature"] == 0
    text = first["messages"][0]["content"][0]["text"]
    assert "first 3 of" in text and "other 3" in text
    assert '"loud" (It is loud.)' in tried["messages"][0]["content"][0]["text"]


def test_prompts_are_read_where_sound_is_not_heard(model: StandIn, tmp_path: Path) -> None:
    model.says = ['{"label": "x", "confidence": 1, "description": ""}']
    labeller(model, tmp_path, hears="prompts", contrast=1).label([LOUD_ONE], CLIPS)
    (one,) = model.asked
    assert [part["type"] for part in one["messages"][0]["content"]] == ["text", "text"]
    assert one["messages"][0]["content"][1]["text"] == "\n".join(f"Clip {n}: prompt {n - 1}" for n in (1, 2, 3, 4))


def test_answers_are_kept_by_all_that_decides_them(model: StandIn, tmp_path: Path) -> None:
    first = labeller(model, tmp_path).label([LOUD_ONE], CLIPS)
    assert labeller(model, tmp_path, key_env="NOT_THERE").label([LOUD_ONE], CLIPS) == first, "nothing is sent: no key"
    assert len(model.asked) == 1
    others = [
        (labeller(model, tmp_path, model="other"), LOUD_ONE, CLIPS),
        (labeller(model, tmp_path, contrast=1), LOUD_ONE, CLIPS),
        (labeller(model, tmp_path), QUIET_ONE, CLIPS),
        (labeller(model, tmp_path), LOUD_ONE, ClipSet(CLIPS.rows, Answers({}, sound=quieter))),
        (labeller(model, tmp_path / "elsewhere"), LOUD_ONE, CLIPS),
    ]  # fmt: skip
    for number, (own, one, clips) in enumerate(others, 2):
        own.label([one], clips)
        assert len(model.asked) == number
    (kept,) = (tmp_path / "elsewhere").rglob("*.json")
    kept.write_text("{")
    labeller(model, tmp_path / "elsewhere").label([LOUD_ONE], CLIPS)
    assert len(model.asked) == len(others) + 2, "a damaged one is asked for again"


def test_an_interrupted_run_loses_nothing(model: StandIn, tmp_path: Path) -> None:
    model.says = ['{"label": "a", "confidence": 1}', "I cannot help with that."]
    with pytest.raises(UserError, match=r"answers nonsense \(no JSON in it\): 'I cannot help with that.'"):
        labeller(model, tmp_path).label([LOUD_ONE, QUIET_ONE], CLIPS)
    labels = labeller(model, tmp_path).label([LOUD_ONE, QUIET_ONE], CLIPS)
    assert [one.text for one in labels] == ["a", "quiet"] and len(model.asked) == 3


def test_what_it_costs_is_known_before_it_is_spent(
    model: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six clips of half a second at 1,000 tokens a second, and some text, at a dollar for a thousand tokens."""
    dear = {"price_in": 1000.0, "price_out": 0.0, "audio_tokens": 1000.0, "judged": 6}
    with pytest.raises(UserError, match=r"labels: 1 questions .* is above labeller.budget=0: raise it") as told:
        labeller(model, tmp_path, **dear).label([LOUD_ONE], CLIPS)
    (estimate,) = (float(one) for one in re.findall(r"about ([\d.]+) USD", str(told.value)))
    # One question, and two more in which the label is tried on six clips each: 9 seconds of sound in all.
    assert 9 <= estimate < 10
    assert not model.asked and f"about {estimate:.2f} USD; budget 0 USD" in capsys.readouterr().err
    labeller(model, tmp_path, **dear, budget=20).label([LOUD_ONE], CLIPS)
    assert len(model.asked) == 1


def test_what_was_spent_counts(model: StandIn, tmp_path: Path) -> None:
    """Each answer says that it took 1,000 tokens, a dollar; the estimate, by letters, is some cents."""
    own = labeller(model, tmp_path, hears="prompts", price_in=1000.0, price_out=0.0, budget=1.5, judged=4)
    answer = '{"label": "x", "confidence": 1}'
    model.says = [answer, answer]
    with pytest.raises(UserError, match=r"labeller.budget=1.5 is used up \(2.00 USD\): answers are kept, raise it"):
        own.label([LOUD_ONE, QUIET_ONE], CLIPS)
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_an_unknown_price_is_asked_for(model: StandIn, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"what stand-in costs is not known: set labeller.price_in"):
        labeller(model, tmp_path, price_in=None, budget=5).label([LOUD_ONE], CLIPS)
    assert not model.asked


def test_a_key_is_sent_and_a_missing_one_is_one_line(
    model: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"^labeller.key_env=A_KEY: this environment variable is not set: .*[^\n]$"):
        labeller(model, tmp_path, key_env="A_KEY").label([LOUD_ONE], CLIPS)
    assert not model.asked
    monkeypatch.setenv("A_KEY", "secret")
    labeller(model, tmp_path, key_env="A_KEY").label([LOUD_ONE], CLIPS)
    assert model.keys == ["Bearer secret"]
    assert not any("secret" in file.read_text() for file in tmp_path.rglob("*.json"))


def test_a_busy_server_is_asked_again(model: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_WAIT", 0.0)
    model.errors = [429, 503]
    assert labeller(model, tmp_path).label([LOUD_ONE], CLIPS)[0].text == "loud"
    model.errors = [401]
    with pytest.raises(UserError, match=r"^labeller.url=.*: model 'stand-in' does not answer \(HTTP 401 "):
        labeller(model, tmp_path).label([QUIET_ONE], CLIPS)
    assert not model.errors, "a refused key is not tried again"


NONSENSE = {
    "[]": "no JSON in it",
    "{label: x}": "its JSON cannot be read",
    '{"label": "", "confidence": 1}': "no label of a few words",
    '{"label": "x", "confidence": 90}': "no confidence from 0 to 1",
    '{"label": "x", "confidence": true}': "no confidence from 0 to 1",
}


@pytest.mark.parametrize("said", NONSENSE)
def test_nonsense_is_one_line(model: StandIn, tmp_path: Path, said: str) -> None:
    model.says = [said]
    with pytest.raises(UserError, match=rf"^labeller.model=stand-in answers nonsense \({NONSENSE[said]}\): "):
        labeller(model, tmp_path).label([LOUD_ONE], CLIPS)
    assert not list(tmp_path.rglob("*.json"))


def test_another_number_of_answers_is_nonsense(model: StandIn, tmp_path: Path) -> None:
    model.says = ['{"present": [1, 0]}']
    with pytest.raises(UserError, match=r"answers nonsense \(not 6 numbers from 0 to 1\)"):
        labeller(model, tmp_path).applies([Label("x", 1.0)], CLIPS, np.ones((1, 6), dtype=bool))


def test_litellm_is_asked_where_it_is_there(model: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = labeller(model, tmp_path, provider="litellm", url=None)
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(UserError, match=r"needs a package that is not installed: pip install litellm"):
        own.label([LOUD_ONE], CLIPS)

    def completion(**how: Any) -> Any:
        said = {"choices": [{"message": {"content": model.answer(how)}}], "usage": None}
        return SimpleNamespace(model_dump=lambda: said)

    monkeypatch.setitem(sys.modules, "litellm", SimpleNamespace(completion=completion))
    assert own.label([LOUD_ONE], CLIPS)[0].text == "loud"
    (one,) = model.asked
    assert one["model"] == "stand-in" and one["api_base"] is None and one["api_key"] is None


BAD: dict[str, dict[str, Any]] = {
    "labeller.model=null: name the model": {"model": None},
    "unknown labeller.provider 'post'": {"provider": "post"},
    "labeller.url=nowhere: expected the address": {"url": "nowhere"},
    "labeller.judged=2: expected 4 or more": {"judged": 2},
    "labeller.budget=-1: expected 0 or more": {"budget": -1.0},
}


@pytest.mark.parametrize("line", BAD)
def test_settings_that_make_no_sense_are_one_line(model: StandIn, tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=f"^{line}"):
        labeller(model, tmp_path, **BAD[line])
