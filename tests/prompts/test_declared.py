"""Prompt sets of one's own: what a YAML gives, and what is said of one that makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import OmegaConf

from mech_music.base.errors import UserError
from mech_music.config.paths import also_in
from mech_music.prompts.declared import PromptSetConfig, load_prompt_set
from mech_music.prompts.prompt_set import PromptSet

MINE: dict[str, Any] = {
    "name": "mine",
    "template": "A {pace} {thing} tune for {instrument}",
    "categories": {
        "instrument": {
            "words": ["banjo", "harp", "tuba"],
            "concepts": {"banjo": {}, "harp": {}, "fiddle": {"text": "old fiddle", "labels": ["fiddle", 190]}},
        },
        "thing": {"words": ["folk"]},
        "pace": {"words": ["slow", "medium to fast"], "heard_by": "tempo"},
    },
}


def opened(**changes: Any) -> PromptSet:
    """The prompt set ``MINE`` with other values: ``key__key`` for one that is further down."""
    written = OmegaConf.create(MINE)
    for key, value in changes.items():
        OmegaConf.update(written, key.replace("__", "."), value, merge=False)
    schema: Any = OmegaConf.structured(PromptSetConfig)
    return cast(PromptSetConfig, OmegaConf.to_object(OmegaConf.merge(schema, written))).opened


def test_a_set_of_ones_own() -> None:
    mine = opened()
    found = {concept.name: (concept.text, concept.labels, concept.heard_by) for concept in mine.concepts.values()}
    assert found == {
        "banjo": ("banjo", (147,), "classifier"),  # AudioSet's Banjo
        "harp": ("harp", (199,), "classifier"),
        "fiddle": ("old fiddle", (191, 190), "classifier"),  # Violin, fiddle
        "slow": ("slow", (0,), "tempo"),
        "medium-to-fast": ("medium to fast", (3,), "tempo"),
    }
    assert [prompt.text for prompt in mine.concept_prompts(mine.concepts["slow"], 3)] == [
        "A slow folk tune for banjo", "A slow folk tune for harp", "A slow folk tune for tuba",
    ]  # fmt: skip
    assert mine.concept_prompts(mine.concepts["fiddle"], 2)[1].text == "A medium to fast folk tune for old fiddle"
    assert len(mine.every_prompt) == 2 * 1 * 4, "fiddle is a concept and fills no other concept's prompts"
    assert list(mine.pair_groups) == ["all", "within", "instruments", "paces"], "no pair across two listeners"
    assert len(mine.pair_groups["all"]) == 3 * 2 + 2
    kept = mine.kept_beside(mine.concepts["slow"])
    assert kept and kept.name == "instrument"
    assert not mine.third_concepts(mine.concepts["slow"], mine.concepts["medium-to-fast"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"template": "A {pace} {thing} tune for {voice}"}, "template: unknown category '{voice}'; "),
        ({"template": "A {pace} tune for {instrument}"}, "'thing' is not in the template: write {thing} in it"),
        ({"template": "A {pace} {pace} {thing} for {instrument}"}, "template names {pace} 2 times"),
        ({"template": "A {pace tune"}, "cannot be read"),
        ({"categories__thing__words": ["folk", "banjo"]}, "word 'banjo' is in two categories, instrument and thing"),
        ({"categories__thing__words": ["folk", "folk"]}, "category 'thing' has the word 'folk' twice"),
        ({"categories__thing__words": []}, "category 'thing' has no words"),
        ({"categories__instrument__concepts__banjoo": {}},
         "concept 'banjoo' of instrument has no labels, and its text is none: write labels: [names or numbers]: "
         "unknown class of classifier 'banjoo'; did you mean Banjo?"),
        ({"categories__instrument__concepts__harp__labels": ["Harpp"]},
         "concept 'harp' of instrument: unknown class of classifier 'Harpp'; did you mean Harp?"),
        ({"categories__instrument__concepts__harp__labels": [527]}, "classifier has no class 527: "),
        ({"categories__pace__words": ["slow", "brisk"]}, "unknown class of tempo 'brisk'; "),
        ({"categories__pace__heard_by": "ear"}, "unknown listener 'ear'; "),
        ({"categories__pace__heard_by": "likelihood"}, "has no classes; allowed: classifier, mood, notes, tempo"),
        ({"categories__instrument__concepts__harp__labels": [147]}, "banjo and harp have the same first label"),
        ({"categories__instrument__group": ["banjo", "lute"]}, "group of instrument: unknown concept 'lute'"),
        ({"study": ["thing"]}, "study: unknown category with concepts 'thing'; "),
        ({"categories__instrument__concepts": {"old harp": {"labels": ["Harp"]}}}, "a name has no spaces"),
        ({"name": ""}, "prompt_set has no name"),
        ({"categories": {}}, "prompt_set 'mine' has no categories"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        opened(**changes)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_no_config_at_all_is_the_default_set() -> None:
    assert PromptSetConfig().opened.concepts == load_prompt_set("velez2024").concepts


def test_a_file_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "prompt_set").mkdir()
    OmegaConf.save(OmegaConf.create(MINE), tmp_path / "prompt_set" / "mine_of_a_test.yaml")
    with also_in(tmp_path):
        assert load_prompt_set("mine_of_a_test").name == "mine"
    with pytest.raises(UserError, match="unknown prompt_set 'velez'; did you mean velez2024"):
        load_prompt_set("velez")
