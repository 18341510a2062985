"""The default prompt set is the paper's: its texts, its concepts, its pairs, in its order."""

from __future__ import annotations

import hashlib

import pytest

from mech_music.base.errors import UserError
from mech_music.prompts.declared import load_prompt_set

STUDY = load_prompt_set("velez2024")
# What the sources of earlier runs are keyed by: it may never change.
DIGESTS = {
    "guitar": "56f5a71750efeb9991d5a9e8d7ac1a18",
    "edm": "81091ca993fcaa00ffece2fad46c0336",
    "every prompt": "e9831f0d8c994ca919b33bf9e24e3d93",
}


def texts(concept: str, n: int) -> list[str]:
    return [prompt.text for prompt in STUDY.concept_prompts(STUDY.concepts[concept], n)]


def test_the_first_prompts_to_the_letter() -> None:
    assert texts("guitar", 6) == [
        "Compose a emotional rock piece, with a guitar melody. Use a fast tempo.",
        "Compose a emotional rock piece, with a guitar melody. Use a medium tempo.",
        "Compose a emotional rock piece, with a guitar melody. Use a slow tempo.",
        "Compose a emotional rock piece, with a guitar melody. Use a slow to medium tempo.",
        "Compose a emotional rock piece, with a guitar melody. Use a medium to fast tempo.",
        "Compose a emotional pop piece, with a guitar melody. Use a fast tempo.",
    ]
    assert texts("hip-hop", 125)[-1] == (
        "Compose a happy hip hop piece, with a flute melody. Use a medium to fast tempo."
    )
    assert texts("edm", 26)[25] == "Compose a passionate EDM piece, with a guitar melody. Use a fast tempo."
    assert texts("slow", 1) == ["Compose a emotional rock piece, with a guitar melody. Use a slow tempo."]
    assert texts("happy", 6)[5] == "Compose a happy rock piece, with a piano melody. Use a fast tempo."


def test_what_stored_recordings_are_keyed_by() -> None:
    found = {name: STUDY.prompts_of(STUDY.concepts[name], 100).digest for name in ("guitar", "edm")}
    assert found | {"every prompt": STUDY.every_prompt.digest} == DIGESTS
    assert len(STUDY.every_prompt) == 875


def test_every_prompt_of_every_concept_of_the_study() -> None:
    said = "\n".join(text for concept in STUDY.studied for text in texts(concept.name, 125))
    assert (
        hashlib.sha256(said.encode()).hexdigest() == "4ec6d5e298d90881c62f9f8ecc5cad30fbd3ddc6475870b9169e085b067b16f7"
    )


def test_concepts_labels_and_order() -> None:
    assert [(concept.name, concept.category, concept.labels) for concept in STUDY.studied] == [
        ("guitar", "instrument", (140, 143, 141, 142, 139)),
        ("piano", "instrument", (153, 154, 152)),
        ("trumpet", "instrument", (187, 185)),
        ("violin", "instrument", (191, 190, 189)),
        ("classical", "genre", (237,)),
        ("jazz", "genre", (235, 226)),
        ("pop", "genre", (216,)),
        ("rock", "genre", (219, 224, 223, 221)),
        ("edm", "genre", (245, 239, 241, 243, 242, 240)),
        ("hip-hop", "genre", (217,)),
    ]
    assert STUDY.resolve_concepts("all") == STUDY.studied
    genre, instrument = STUDY.categories["genre"], STUDY.categories["instrument"]
    assert genre.labels_of("electronic") == (239, 245, 241, 243, 242, 240)
    assert genre.labels_of("hip hop") == (217,) and instrument.labels_of("flute") == (196,)
    assert genre.labels_of("polka") == ()


@pytest.mark.parametrize(
    ("word", "count"),
    [("all", 90), ("within", 42), ("cross", 48), ("instruments", 12), ("genres", 30), ("instrument-genre", 24),
     ("moods", 20), ("tempos", 20)],
)  # fmt: skip
def test_words_for_sets_of_pairs(word: str, count: int) -> None:
    assert len(set(STUDY.resolve_pairs(word))) == count


def test_set_words_mean_what_they_say() -> None:
    assert all(a.category == b.category for a, b in STUDY.resolve_pairs("within"))
    assert {(a.category, b.category) for a, b in STUDY.resolve_pairs("genre-instrument")} == {("genre", "instrument")}
    assert len(STUDY.resolve_pairs("within+cross,all")) == 90
    first = [f"{a.name}-{b.name}" for a, b in STUDY.resolve_pairs("all")[:5]]
    assert first == ["guitar-piano", "guitar-trumpet", "guitar-violin", "guitar-classical", "guitar-jazz"]


def test_names_with_hyphens_and_order_of_mention() -> None:
    named = STUDY.resolve_pairs("hip-hop-edm+edm-hip-hop, guitar-piano,guitar-piano,slow-to-medium-fast")
    assert [(a.name, b.name) for a, b in named] == [
        ("hip-hop", "edm"), ("edm", "hip-hop"), ("guitar", "piano"), ("slow-to-medium", "fast"),
    ]  # fmt: skip


def test_what_a_word_outside_the_study_is_heard_by() -> None:
    heard = {name: STUDY.concepts[name].heard_by for name in ("flute", "electronic", "happy", "slow")}
    assert heard == {"flute": "classifier", "electronic": "classifier", "happy": "mood", "slow": "tempo"}
    assert STUDY.concepts["happy"].labels == (4,) and STUDY.concepts["slow-to-medium"].labels == (1,)


def test_a_third_concept_is_the_next_of_the_group() -> None:
    at = STUDY.concepts
    assert STUDY.third_concepts(at["guitar"], at["violin"])[0] == at["piano"], "flute is none of the paper's four"
    assert STUDY.third_concepts(at["guitar"], at["flute"])[0] == at["piano"]
    assert STUDY.third_concepts(at["slow"], at["fast"])[0] == at["medium"]


@pytest.mark.parametrize("n", [0, -1, 126])
def test_too_many_or_no_prompts_is_refused_with_the_maximum(n: int) -> None:
    with pytest.raises(UserError, match="1 to 125"):
        STUDY.concept_prompts(STUDY.concepts["guitar"], n)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("gitar-piano", "unknown pair 'gitar-piano'; did you mean guitar-piano?"),
        ("piano-piano", "or original-desired with two different ones of guitar, piano"),
        ("guitar-happy", "guitar is heard by classifier and happy by mood, whose odds cannot be compared; "
         "allowed: two concepts of one category, or one of instrument and genre"),
    ],
)  # fmt: skip
def test_a_pair_that_makes_no_sense_is_one_line(word: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        STUDY.resolve_pairs(word)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_same_prompt_with_one_word_swapped() -> None:
    prompt = STUDY.concept_prompts(STUDY.concepts["edm"], 3)[2]
    other = STUDY.counterfactual(prompt, STUDY.concepts["edm"], STUDY.concepts["hip-hop"])
    assert prompt.text == "Compose a emotional EDM piece, with a guitar melody. Use a slow tempo."
    assert other.text == "Compose a emotional hip hop piece, with a guitar melody. Use a slow tempo."
    assert other.words == {"mood": "emotional", "genre": "hip hop", "instrument": "guitar", "tempo": "slow"}
    with pytest.raises(UserError, match="two concepts of one category"):
        STUDY.counterfactual(prompt, STUDY.concepts["edm"], STUDY.concepts["piano"])
