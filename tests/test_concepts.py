"""The concepts, their prompts, and the words for pairs of them."""

import pytest

from mech_music.prompts.concepts import (
    CONCEPTS,
    MOODS,
    Category,
    concept_prompts,
    label_of,
    make_prompt,
    resolve_pairs,
)


def test_template_reads_as_in_the_paper() -> None:
    prompt = make_prompt("happy", "hip hop", "flute", "slow to medium")
    assert prompt.text == "Compose a happy hip hop piece, with a flute melody. Use a slow to medium tempo."


def test_first_hundred_prompts_vary_tempo_fastest_and_mood_slowest() -> None:
    prompts = concept_prompts(CONCEPTS["edm"], 100)
    assert len({p.text for p in prompts}) == 100
    assert {p.genre for p in prompts} == {"EDM"}
    assert [p.tempo for p in prompts[:3]] == ["fast", "medium", "slow"]
    assert [p.instrument for p in prompts[:6]] == ["guitar"] * 5 + ["piano"]
    assert {p.mood for p in prompts} == set(MOODS[:4])
    assert {p.genre for p in concept_prompts(CONCEPTS["piano"], 25)} >= {"electronic", "rock"}


@pytest.mark.parametrize("n", [0, -1, 126])
def test_too_many_or_no_prompts_is_refused_with_the_maximum(n: int) -> None:
    with pytest.raises(ValueError, match="1 to 125"):
        concept_prompts(CONCEPTS["guitar"], n)


@pytest.mark.parametrize(
    ("word", "count"),
    [("all", 90), ("within", 42), ("cross", 48), ("instruments", 12), ("genres", 30), ("instrument-genre", 24)],
)
def test_words_for_sets_of_pairs(word: str, count: int) -> None:
    assert len(set(resolve_pairs(word))) == count


def test_set_words_mean_what_they_say() -> None:
    assert all(a.category is b.category for a, b in resolve_pairs("within"))
    assert all(
        a.category is Category.genre and b.category is Category.instrument for a, b in resolve_pairs("genre-instrument")
    )
    assert len(resolve_pairs("within+cross,all")) == 90


def test_names_with_hyphens_and_order_of_mention() -> None:
    names = [(a.name, b.name) for a, b in resolve_pairs("hip-hop-edm+edm-hip-hop, guitar-piano,guitar-piano")]
    assert names == [("hip-hop", "edm"), ("edm", "hip-hop"), ("guitar", "piano")]


def test_unknown_pair_is_one_line_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean .*guitar-piano") as caught:
        resolve_pairs("gitar-piano")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="two different"):
        resolve_pairs("piano-piano")


def test_labels() -> None:
    assert label_of("guitar")[0] == 140 and label_of("flute") == (196,)
    assert label_of("hip hop") == label_of("hip-hop") == (217,)
    assert 239 in label_of("electronic") and 239 in label_of("EDM")
    with pytest.raises(ValueError, match="did you mean trumpet"):
        label_of("trumpets")
