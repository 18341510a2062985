"""SAEs of a repository: fetched from a hub on this machine, found in the cache without one, and every way in which they
are not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from mech_music.base.errors import UserError
from mech_music.saes.files import read_sae
from mech_music.saes.folder import find_sae
from tests.doctor.hub_server import COMMIT, Hub
from tests.saes.made import VERSION_5, dictionary, linear, weights, write

REPO = "someone/musicgen-saes"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server with one repository, and an empty cache."""
    repo = tmp_path / "repo"
    write(repo / "k_100" / "facebook" / "musicgen-small", VERSION_5, weights())
    dictionary(repo / "layer_3", "AutoEncoder", linear(weights(), "bias"))
    (repo / "README.md").write_text("beside")
    (repo / "k_100" / "optimizer.bin").write_text("beside")
    (repo / "empty").mkdir()
    (repo / "empty" / "README.md").write_text("no SAE")
    monkeypatch.delenv("AUDIOCRAFT_CACHE_DIR", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    server = Hub({REPO: repo})
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield server
    server.close()


def test_a_folder_of_a_repository_is_fetched_once_and_then_needs_no_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"hub:{REPO}/k_100/facebook/musicgen-small"
    found = find_sae(path)
    assert COMMIT in found.path
    assert torch.equal(read_sae(Path(found.path)).W_dec, weights()["W_dec"])
    assert find_sae(found.path).digest == found.digest, "by content, wherever it lies"
    sent = [name for name, _ in hub.ranges]
    assert sorted(sent) == ["cfg.json", "sae_weights.safetensors"], "nothing beside"
    hub.down = True
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_sae(path) == find_sae(path, "main") == find_sae(path, COMMIT) == found
    assert len(hub.ranges) == 2


def test_another_format_and_another_layer_of_the_same_repository(hub: Hub) -> None:
    find_sae(f"hub:{REPO}/k_100/facebook/musicgen-small")
    assert read_sae(Path(find_sae(f"hub:{REPO}/layer_3").path)).about.hook == "blocks.11.hook_resid_post"


def test_what_is_not_there_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        f"hub:{REPO}/empty": r"repository 'someone/musicgen-saes' has no empty/sae_weights.safetensors",
        f"hub:{REPO}/layer_9": "has no layer_9/sae_weights.safetensors and no layer_9/cfg.json",
        "hub:someone/else/layer_3": r"SAE 'someone/else/layer_3' cannot be fetched \(RepositoryNotFoundError\)",
        "hub:someone": "sae.path=hub:someone: expected hub:<owner>/<name>",
    }
    for path, line in lines.items():
        with pytest.raises(UserError, match=line) as error:
            find_sae(path)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="sae.revision=v1 belongs to a repository of the hub"):
        find_sae("folder", "v1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"the hub is not asked \(HF_HUB_OFFLINE\).*--include 'new/\*'.*sae.path"):
        find_sae("hub:someone/new/new")
    hub.down = True
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(UserError, match=r"cannot be fetched .*hf download someone/new --include 'new/\*'") as error:
        find_sae("hub:someone/new/new")
    assert "\n" not in str(error.value)
