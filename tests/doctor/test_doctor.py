"""What the doctor says, how it ends, and how it gets weights from a hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.doctor import parts, verdict
from mech_music.doctor.__main__ import composed, main
from mech_music.models.musicgen.footprint import Footprint
from mech_music.models.musicgen.hub import FILES, find_checkpoint
from tests.composing import compose_run
from tests.doctor.hub_server import Hub, entry
from tests.published import make_published

with quiet_imports():
    from hear21passt.models.passt import default_cfgs

SMALL = "facebook/musicgen-small"
PASST = "passt-s-f128-p16-s10-ap.476-swa.pt"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, and a hub that is not there."""
    monkeypatch.delenv("AUDIOCRAFT_CACHE_DIR", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("mech_music.tracking.wandb.logged_in", lambda: False)
    # Each time it says what every model needs: their configs are composed once for all tests.
    monkeypatch.setattr("mech_music.doctor.__main__.composed", lambda words: compose_run(*words))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Repositories with everything that ``model=small`` reads, tiny; and ``files``, where PaSST is from."""
    folder = tmp_path_factory.mktemp("published")
    repos = {
        name: folder / str(place) for place, name in enumerate((SMALL, "google-t5/t5-base", "facebook/encodec_32khz"))
    }
    make_published(repos[SMALL])
    for name in list(repos)[1:]:
        repos[name].mkdir()
        save_file({"weight": torch.ones(300)}, repos[name] / "model.safetensors")
        (repos[name] / "config.json").write_text(json.dumps({"of": name}))
    (repos["google-t5/t5-base"] / "spiece.model").write_bytes(b"pieces")
    repos["files"] = folder / "files"
    repos["files"].mkdir()
    torch.save({"weight": torch.ones(30_000)}, repos["files"] / PASST)
    return repos


@pytest.fixture
def hub(published: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The client's hub is a server on this machine."""
    hub = Hub(published)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 14)
    template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setitem(default_cfgs["passt_s_swa_p16_128_ap476"], "url", f"{hub.address}/files/{PASST}")
    yield hub
    hub.close()


def doctor(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of ``python -m mech_music.doctor <words>``."""
    monkeypatch.setattr("sys.argv", ["doctor", *words])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_bundled_model_can_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(monkeypatch, "duration=0.4") == 0
    out = capsys.readouterr().out
    assert out.endswith("model=tiny can run here: python -m mech_music.run duration=0.4\n")
    (tiny,) = [line.split() for line in out.splitlines() if line.startswith("tiny ")]
    assert float(tiny[-1]) > 0
    assert "…" not in out, "nothing is cut in 80 columns"
    assert "~/hub: empty" in out and torch.__version__.split("+")[0] in out


def test_what_is_missing_is_said_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(monkeypatch, "--quick", "model=small") == 1
    out = capsys.readouterr().out
    reasons = out[out.index("model=small cannot run here:") :].splitlines()[1:]
    assert len(reasons) == 5
    assert f"hf download {SMALL} {' '.join(FILES)}" in reasons[0]
    assert "google-t5/t5-base" in reasons[1] and "encodec_32khz" in reasons[2] and PASST in reasons[3]
    assert reasons[4].endswith("python -m mech_music.doctor --fetch model=small")


def test_a_classifier_of_the_hub_is_known_by_its_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / "ast.yaml").write_text("name: ast\nhub_id: MIT/ast\nrevision: f826\n")
    monkeypatch.setattr(parts, "find_config", lambda group, name: tmp_path / group / f"{name}.yaml")
    part = parts.listener_part("ast")
    assert part.missing() == ["model.safetensors", "config.json", "preprocessor_config.json"]
    assert part.command == "hf download MIT/ast model.safetensors config.json preprocessor_config.json --revision f826"


def test_a_local_folder_is_looked_into(
    published: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its codec and text encoder are named in it; its two layers are not the config's."""
    listener = str(published["files"] / PASST)
    assert (
        doctor(monkeypatch, "--quick", "model=small", f"model.path={published[SMALL]}", f"classifier.path={listener}")
        == 1
    )
    reasons = capsys.readouterr().out.partition("cannot run here:\n")[2].splitlines()
    assert [reason.split(":")[0].strip() for reason in reasons[:-1]] == [
        "text encoder t5-base",
        "codec facebook/encodec_32khz",
        "model.layers=24, but the checkpoint in '" + str(published[SMALL]) + "' has 2",
    ]


def test_weights_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "free_on", lambda device: 2_000_000_000)
    found = verdict.judge(composed(["model=large", "engine.device=cpu"]))
    assert found.rows == 0
    assert (
        found.reasons[-1]
        == "memory: 2.0 GB free, its language model alone takes 26.0 GB (a CPU keeps its weights twice)"
    )
    assert found.shape == Footprint(48, 2048)


FETCH = ("--fetch", "--quick", "model=small", "model.layers=2", "model.heads=2")


@pytest.fixture
def cut_and_continued(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, int], str]:
    """Fetches with the connection lost in a file, and again, which goes on from there; returns what was said first."""

    def fetch(name: str, cut: int) -> str:
        hub.cut[name] = cut
        assert doctor(monkeypatch, *FETCH) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        (partial,) = tmp_path.rglob("*.partial")
        kept = partial.stat().st_size
        assert 0 < kept <= cut
        hub.mend()
        hub.ranges.clear()
        assert doctor(monkeypatch, *FETCH) == 0
        assert (name, kept) in hub.ranges and (name, 0) not in hub.ranges
        assert not list(tmp_path.rglob("*.partial"))
        return said

    return fetch


def test_fetched_interrupted_and_continued(
    hub: Hub,
    published: dict[str, Path],
    cut_and_continued: Callable[[str, int], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = cut_and_continued(FILES[0], (published[SMALL] / FILES[0]).stat().st_size // 2)
    assert "MB of the file that was under way are kept; give the same command again to go on from there" in said
    # Where the loader looks, and what it finds there.
    folder = find_checkpoint(None, SMALL).folder
    assert [(folder / name).read_bytes() for name in FILES] == [
        (published[SMALL] / name).read_bytes() for name in FILES
    ]
    assert all(not part.missing() for part in parts.parts_of(composed(["model=small"])))
    assert "model=small can run here" in capsys.readouterr().out

    hub.ranges.clear()
    assert doctor(monkeypatch, *FETCH) == 0
    assert hub.ranges == [], "what is there is checked, not fetched again"


def test_a_classifier_interrupted_and_continued(
    published: dict[str, Path], cut_and_continued: Callable[[str, int], str], tmp_path: Path
) -> None:
    """PaSST's file, which is not on the hub."""
    said = cut_and_continued(PASST, 60_000)
    assert said.startswith("mech_music: classifier passt: ") and "are kept; give the same command again" in said
    (place,) = (tmp_path / "torch" / "hub" / "checkpoints").iterdir()
    assert place.read_bytes() == (published["files"] / PASST).read_bytes()


def test_a_file_damaged_on_its_way_is_not_kept(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.spoilt.add(FILES[1])
    assert doctor(monkeypatch, *FETCH) == 1
    assert f"{FILES[1]} of '{SMALL}' was damaged on its way" in capsys.readouterr().err
    hub.spoilt.clear()
    assert doctor(monkeypatch, *FETCH) == 0


def test_a_file_damaged_in_the_cache_is_found(
    hub: Hub,
    published: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert doctor(monkeypatch, *FETCH) == 0
    blob = (
        tmp_path
        / "hub"
        / "models--facebook--musicgen-small"
        / "blobs"
        / entry(published[SMALL] / FILES[0])["lfs"]["oid"]
    )
    blob.write_bytes(blob.read_bytes()[:-7])
    assert doctor(monkeypatch, *FETCH) == 1
    assert "was not what the hub lists and is removed" in capsys.readouterr().err
    assert doctor(monkeypatch, *FETCH) == 0


@pytest.mark.parametrize("name", [FILES[0], "model.safetensors", "pytorch_model.bin"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"half of something")
    with pytest.raises(UserError) as caught:
        verdict.readable(tmp_path / name)
    assert "\n" not in str(caught.value) and "fetch it again" in str(caught.value)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("model.dtype=float16", "needs a GPU"),
        ("duration=nan", "duration=nan: expected a number of seconds"),
        ("layer=99", "layer"),
        ("engine.device=cuda:7", "is not there"),
        (f"engine.store={__file__}/x", "is a file, expected a folder"),
    ],
)
def test_what_a_run_refuses_is_refused(
    word: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(monkeypatch, "--quick", word) == 1
    assert reason in capsys.readouterr().out.partition("model=tiny cannot run here:\n")[2]


def test_a_mistake_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(monkeypatch, "model=smal") == 1
    err = capsys.readouterr().err
    assert "did you mean small?" in err and err.count("\n") == 1
