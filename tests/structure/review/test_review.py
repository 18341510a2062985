"""Reviews of proposed returns: the queue, what is saved and when, who may ask, how far two people agree."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import soundfile
from sklearn.metrics import cohen_kappa_score

from mech_music.base.errors import UserError
from mech_music.structure.pieces.labels import State, read_labels
from mech_music.structure.pieces.manifest import MANIFEST, open_manifest, write_manifest
from mech_music.structure.proposals.proposals import Proposal, ProposalSettings, Role
from mech_music.structure.review.__main__ import main
from mech_music.structure.review.agreement import agreement
from mech_music.structure.review.decisions import Decision, append, file_of, read_decisions, reviewers
from mech_music.structure.review.folder import Review, open_review, write_review
from mech_music.structure.review.page import write_export
from mech_music.structure.review.server import ReviewServer
from tests.structure.made_songs import wander

SETTINGS = ProposalSettings()


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("songs")
    for number in range(2):
        soundfile.write(place / f"{number}.wav", wander(number, 8.0), 16_000)
    write_manifest(place, "CC0", "made <here>")
    return place


@pytest.fixture(autouse=True)
def own_cache(songs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECH_MUSIC_STORE", str(songs / "cache"))


@pytest.fixture
def review(songs: Path, tmp_path: Path) -> Review:
    ps = {0: (0.002, 0.009, 0.6), 1: (0.02, 0.9)}
    proposals = [
        Proposal(f"{song}.wav", Role.negative if p > 0.3 else Role.returning, (at / 2, at / 2 + 2.0), (5.0, 7.0),
                 at, 0.1, 3.0, p, 0.2, 1.0)
        for song, some in ps.items() for at, p in enumerate(some)
    ]  # fmt: skip
    write_review(tmp_path, songs / MANIFEST, open_manifest(songs), proposals, SETTINGS)
    return open_review(tmp_path)


@pytest.fixture
def server(review: Review) -> Iterator[ReviewServer]:
    with ReviewServer(review, "ann") as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: ReviewServer, path: str, content: Any = None, secret: str = "", **headers: str) -> tuple[int, bytes]:
    """A request as a browser makes it; ``content`` is posted. ``headers``: others, with _ for -."""
    own = {"Host": server.hosts[0]} | ({"Content-Type": "application/json"} if content is not None else {})
    own |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    body = None if content is None else content if isinstance(content, bytes) else json.dumps(content)
    connection.request("GET" if content is None else "POST", f"/{secret or server.secret}{path}", body, own)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


# -- the queue ---------------------------------------------------------------------------------------------------


def test_the_most_uncertain_comes_first(review: Review) -> None:
    assert [one.p for one in review.queue.values()] == [0.009, 0.02, 0.002, 0.6, 0.9]
    assert all(name == one.id for name, one in review.queue.items())


def test_a_review_of_other_recordings_is_refused(review: Review, songs: Path) -> None:
    path = review.folder / "proposals.json"
    with pytest.raises(UserError, match="is there already: choose another folder"):
        write_review(review.folder, songs, [], list(review.queue.values()), SETTINGS)
    content = path.read_text()
    path.write_text(content.replace(open_manifest(songs)[0].sha256, "0" * 64))
    with pytest.raises(UserError, match=r"is of other recordings: '0.wav' is not what it was"):
        open_review(review.folder)
    for broken in ("{", content.replace('"first"', '"fist"')):
        path.write_text(broken)
        with pytest.raises(UserError, match="no proposals in .* make some with mech-music review propose"):
            open_review(review.folder)
    with pytest.raises(UserError, match="nothing is proposed"):
        write_review(review.folder / "new", songs, [], [], SETTINGS)


# -- saved at once -----------------------------------------------------------------------------------------------


def test_what_is_decided_is_on_disk_before_the_page_goes_on(server: ReviewServer) -> None:
    first, second, *_ = server.review.queue
    for pair, decision in ((first, "positive"), (second, "rejected"), (first, "negative")):
        status, answer = ask(server, "/decide", {"pair": pair, "decision": decision, "seconds": 2.5})
        assert status == 200 and json.loads(answer) == {"pair": pair}
        written = json.loads(file_of(server.review.folder, "ann").read_text().splitlines()[-1])
        assert (written["pair"], written["decision"], written["seconds"]) == (pair, decision, 2.5)
    assert server.decided() == {second: Decision.rejected, first: Decision.negative}
    assert json.loads(ask(server, "/undo", {})[1]) == {"pair": first}, "the last one that was decided"
    assert server.decided() == {second: Decision.rejected}
    assert json.loads(ask(server, "/undo", {})[1]) == {"pair": second} and json.loads(ask(server, "/undo", {})[1]) == {
        "pair": None
    }
    lines = file_of(server.review.folder, "ann").read_text().splitlines()
    assert len(lines) == 5, "nothing is rewritten"


def test_decisions_survive_a_kill(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mech_music.structure.review.decisions import Decision, append\n"
        "for n in range(10**6):\n"
        "    append(Path(sys.argv[1]), 'ann', f'pair {n}', Decision.positive)\n"
        "    sys.stdout.write(f'{n}\\n'); sys.stdout.flush()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(20)]
        child.send_signal(signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().split("\n") if line]
    assert {f"pair {n}" for n in told} <= read_decisions(tmp_path, "ann").keys()
    path = file_of(tmp_path, "ann")
    path.write_bytes(path.read_bytes() + b'{"pair": "cut sho')
    append(tmp_path, "ann", "after", Decision.negative)
    found = read_decisions(tmp_path, "ann")
    assert found["after"] is Decision.negative and not any("cut" in pair for pair in found)


def test_each_reviewer_has_a_file_of_their_own(review: Review) -> None:
    pair = next(iter(review.queue))
    append(review.folder, "ann", pair, Decision.positive)
    assert reviewers(review.folder) == ["ann"] and read_decisions(review.folder, "bob") == {}
    for name in ("../ann", "", "a b", "x" * 42):
        with pytest.raises(UserError, match="expected letters, digits, - and _"):
            append(review.folder, name, pair, Decision.positive)
    file_of(review.folder, "ann").write_text('{"pair": "p", "decision": "maybe"}\n')
    with pytest.raises(UserError, match="unknown decision 'maybe'"):
        read_decisions(review.folder, "ann")


# -- who may ask -------------------------------------------------------------------------------------------------


def test_the_page_has_the_pairs_and_not_what_they_are_proposed_as(server: ReviewServer) -> None:
    append(server.review.folder, "ann", next(iter(server.review.queue)), Decision.ambiguous)
    status, page = ask(server, "/")
    text = page.decode()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert status == 200 and [one["id"] for one in data["pairs"]] == list(server.review.queue)
    assert list(data["decided"].values()) == ["ambiguous"] and data["reviewer"] == "ann"
    assert {*data["pairs"][0]} == {"id", "recording", "licence", "source", "first", "second", "semitones", "top_hz"}
    assert "made <here>" not in text and data["pairs"][0]["source"] == "made <here>"
    assert "connect-src &#39;self&#39;" in text


def test_sounds_and_pictures_are_those_of_the_places(server: ReviewServer, tmp_path: Path) -> None:
    pair = list(server.review.queue.values())[2]
    status, sound = ask(server, f"/media/{pair.id}/sound/second")
    (tmp_path / "clip.mp3").write_bytes(sound)
    heard, rate = soundfile.read(tmp_path / "clip.mp3", dtype="float32")
    true, _ = server.review.recording(pair).sound(*pair.second)
    most = min(len(heard), len(true))
    assert status == 200 and rate == 16_000 and abs(len(heard) - len(true)) < 3000
    spectra = [np.abs(np.fft.rfft(one[:most])) for one in (heard, true)]
    assert np.corrcoef(spectra[0], spectra[1])[0, 1] > 0.95
    for kind in ("spectrogram", "pitches"):
        assert ask(server, f"/media/{pair.id}/{kind}/first")[1].startswith(b"\x89PNG")
    for wrong in ("/media/x/sound/first", f"/media/{pair.id}/sound/third", f"/media/{pair.id}/smell/first", "/etc"):
        assert ask(server, wrong)[0] == 404


def test_foreign_pages_are_refused(server: ReviewServer) -> None:
    pair = next(iter(server.review.queue))
    said = {"pair": pair, "decision": "positive"}
    own = f"http://{server.hosts[0]}"
    for headers in (
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"{own}.evil.example"},
        {"Host": "evil.example"}, {"Host": f"evil.example:{server.server_port}"}, {"Sec_Fetch_Site": "cross-site"},
    ):  # fmt: skip
        assert ask(server, "/decide", said, **headers)[0] == 403
        assert ask(server, "/", **headers)[0] == 403
    assert ask(server, "/decide", said, Content_Type="text/plain")[0] == 400, "what a form can send"
    assert ask(server, "/decide", b"[1]")[0] == ask(server, "/decide", b"{")[0] == 400
    for wrong in (
        {"pair": "x", "decision": "positive"},
        {"pair": pair, "decision": "sure"},
        {"pair": pair},
        {"pair": []},
    ):
        assert ask(server, "/decide", wrong)[0] == 400
    assert server.decided() == {}
    assert ask(server, "/decide", said, Origin=own, Sec_Fetch_Site="same-origin")[0] == 200
    assert server.server_address[0] == "127.0.0.1"


def test_who_has_not_the_address_neither_reads_nor_decides(server: ReviewServer) -> None:
    """Another account of the machine reaches the port."""
    pair = next(iter(server.review.queue))
    assert len(server.secret) > 20 and server.address.endswith(f"/{server.secret}/")
    for secret in ("x", server.secret[:-1], f"{server.secret}x", "media"):
        assert ask(server, "/", secret=secret)[0] == 403
        assert ask(server, f"/media/{pair}/sound/first", secret=secret)[0] == 403
        assert ask(server, "/decide", {"pair": pair, "decision": "positive"}, secret=secret)[0] == 403
    assert server.decided() == {}


def test_a_port_that_is_taken_is_one_line(server: ReviewServer) -> None:
    with pytest.raises(UserError, match=f"port={server.server_port} cannot be used"):
        ReviewServer(server.review, "bob", server.server_port)


# -- agreement ---------------------------------------------------------------------------------------------------


def alpha_by_units(first: list[str], second: list[str]) -> float:
    """Krippendorff's nominal alpha from its definition: every pair of values, within units and over all."""
    values = first + second
    observed = np.mean([a != b for a, b in zip(first, second, strict=True)])
    n = len(values)
    expected = sum(a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j) / (n * (n - 1))
    return float(1 - observed / expected)


def test_agreement_equals_other_computations() -> None:
    draw, kinds = np.random.default_rng(0), list(Decision)
    first = {f"{n}": kinds[draw.integers(4)] for n in range(80)}
    second = {
        pair: said if draw.random() < 0.6 else kinds[draw.integers(4)] for pair, said in first.items() if pair != "0"
    }
    of = {f"{n}": f"song {n // 8}" for n in range(80)}
    found = agreement(first, second, of)
    both = [[some[pair].value for pair in second] for some in (first, second)]
    assert found.n == 79 == found.counts.sum()
    assert found.kappa.mean == pytest.approx(cohen_kappa_score(*both))
    assert found.alpha.mean == pytest.approx(alpha_by_units(*both))
    assert found.same.mean == np.mean([a == b for a, b in zip(*both, strict=True)])
    drawn = []
    for _ in range(300):
        chosen = [pair for song in draw.integers(0, 10, 10) for pair in second if of[pair] == f"song {song}"]
        drawn.append(cohen_kappa_score(*[[some[pair].value for pair in chosen] for some in (first, second)]))
    assert found.kappa[1:3] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.05)


def test_agreement_of_few() -> None:
    yes, no = Decision.positive, Decision.negative
    alone = agreement({"a": yes, "b": no}, {"a": yes, "b": no}, {"a": "s", "b": "s"})
    assert alone.kappa.mean == 1 and np.isnan(alone.kappa.low), "one recording has no interval"
    assert np.isnan(agreement({"a": yes}, {"a": yes}, {"a": "s"}).kappa.mean), "who only says yes cannot disagree"
    with pytest.raises(UserError, match="no pair in common"):
        agreement({"a": yes}, {"b": yes}, {"a": "s", "b": "s"})


# -- what becomes of it ------------------------------------------------------------------------------------------


def test_labels_are_what_all_reviewers_say(
    review: Review, songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, three, four, _ = review.queue
    for name, said in {"ann": (one, two, three), "bob": (one, two, four)}.items():
        for pair in said:
            differs = name == "bob" and pair == two
            append(review.folder, name, pair, Decision.negative if differs else Decision.positive)
    states = [label.state for label in review.labels()]
    assert states == [State.positive, State.ambiguous, State.positive, State.positive, State.unverified]
    assert [label.reviewers for label in review.labels()] == [2, 2, 1, 1, 0]
    main(["labels", str(review.folder)])
    assert read_labels(songs) == review.labels()
    main(["agreement", str(review.folder)])
    out = capsys.readouterr().out
    assert "3 positive, 1 ambiguous, 1 unverified" in out and "ann, bob" in out and "0.500" in out
    path = tmp_path / "review.html"
    assert write_export(review, path) == 5
    text = path.read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["reviewer"] is None and len(data["decided"]) == 4 and "connect-src" not in text
    assert data["pairs"][0]["media"]["sound/first"].startswith("data:audio/mpeg;base64,")
    (songs / "labels.csv").unlink()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["{review}"], "reviewer=… is missing"),
        (["{review}", "reviewer=ann", "prt=1"], "unknown word 'prt'; did you mean port?"),
        (["{review}", "reviewer=ann", "port=x"], "port=x: expected a whole number"),
        (["{review}", "reviewer=a/b"], "reviewer 'a/b': expected letters"),
        ([], "expected one folder of a review, not 0"),
        (["agreement", "{review}"], "has decisions of 0 reviewers: two are needed"),
        (["propose", "{songs}"], "to=… is missing"),
        (["propose", "{songs}", "to=x", "level=2"], "level=2: with nulls=500 the smallest p is 0.002"),
        (["propose", "{songs}", "to=x"], "a recording of 8.00 s has no two places of 6 s"),
        (["manifest", "{songs}", "licence=CC0"], "source=… is missing"),
        (["export", "{songs}"], "no proposals in"),
        (["check", "pieces=1"], "pieces=1: expected 2 or more"),
    ],
)
def test_mistakes_are_one_line(
    review: Review, songs: Path, words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"{review}": str(review.folder), "{songs}": str(songs)}
    with pytest.raises(SystemExit) as ended:
        main([places.get(word, word) for word in words])
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert ended.value.code == 1 and said.startswith("mech_music: ") and line in said


def test_propose_and_review_in_two_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        song, other = wander(3 + number, 9.0), wander(10 + number, 9.0)
        (tmp_path / "songs").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "songs" / f"{number}.wav", np.concatenate([song, other, song]), 16_000)
    main(["manifest", str(tmp_path / "songs"), "licence=CC0", "source=made"])
    main(["propose", str(tmp_path / "songs"), f"to={tmp_path / 'review'}", "nulls=100", "hop=3"])
    found = open_review(tmp_path / "review")
    returning = [one for one in found.queue.values() if one.role is Role.returning]
    assert {one.recording for one in returning} == {"0.wav", "1.wav"}
    assert any(one.second[0] - one.first[0] == 18.0 and one.semitones == 0 for one in returning)
    assert "pairs proposed in 2 recordings" in capsys.readouterr().out
    assert replace(found.settings, nulls=500, hop=1.5) == SETTINGS
