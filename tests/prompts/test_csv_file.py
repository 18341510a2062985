"""Prompts of one's own from a CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from mech_music.base.errors import UserError
from mech_music.prompts.declared import PromptSetConfig
from mech_music.prompts.prompt_set import PromptSet

HEAD = "text,instrument,genre,mood,tempo,note\n"
LINES = (
    "A guitar for a rock band,guitar,rock,,,mine\n"
    '"Slow jazz, on a piano",Piano,jazz,,slow,\n'
    "Guitar and drums,guitar,edm,,,\n"
)


def opened(folder: Path, text: str) -> PromptSet:
    path = folder / "mine.csv"
    path.write_text(text)
    return PromptSetConfig(file=str(path)).opened


def test_prompts_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    mine = opened(tmp_path, HEAD + LINES)
    guitar, piano, edm = (mine.concepts[name] for name in ("guitar", "piano", "edm"))
    assert [prompt.text for prompt in mine.concept_prompts(guitar, 2)] == [
        "A guitar for a rock band",
        "Guitar and drums",
    ]
    assert mine.concept_prompts(piano, 1)[0].words == {
        "instrument": "piano",
        "genre": "jazz",
        "mood": "",
        "tempo": "slow",
    }
    assert mine.concept_prompts(edm, 1)[0].text == "Guitar and drums", "by its name, edm, as by its text, EDM"
    assert mine.every_prompt.texts == ("A guitar for a rock band", "Slow jazz, on a piano", "Guitar and drums")
    with pytest.raises(UserError, match="3 prompts asked for 'guitar': allowed are 1 to 2"):
        mine.concept_prompts(guitar, 3)
    with pytest.raises(UserError, match="mine.csv' has no prompt about 'violin': none of its 3 prompts has violin as "
                                        "instrument; there are guitar, piano"):  # fmt: skip
        mine.concept_prompts(mine.concepts["violin"], 1)


def test_a_word_is_swapped_where_it_is_there_once(tmp_path: Path) -> None:
    mine = opened(tmp_path, HEAD + LINES + "A guitar plays guitar,guitar,rock,,,\nStrings,guitar,rock,,,\n")
    guitar, flute = mine.concepts["guitar"], mine.concepts["flute"]
    first, second, twice, without = mine.concept_prompts(guitar, 4)
    assert mine.counterfactual(first, guitar, flute).text == "A flute for a rock band"
    assert mine.counterfactual(second, guitar, flute).text == "flute and drums"
    assert mine.counterfactual(second, guitar, flute).words["instrument"] == "flute"
    for prompt, times in ((twice, 2), (without, 0)):
        with pytest.raises(UserError, match=f"has 'guitar' {times} times"):
            mine.counterfactual(prompt, guitar, flute)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,instrument,genre\nA,guitar,rock\n", "line 1: no column 'mood'; the first line names the columns text, "
         "instrument, genre, mood, tempo"),
        (HEAD + LINES + "Guitar and drums,guitar,rock,,,\n", "line 5: the same prompt as line 4"),
        (HEAD + "A,guitar\n", "line 2: no value for 'genre'"),
        (HEAD + LINES + " ,guitar,rock,,,\n", "line 5: no value for 'text'"),
        (HEAD, "has no prompts"),
        ("", "line 1: no column 'text'"),
        (HEAD + 'A,"gui"tar,rock,,,\n', "is no CSV in UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        opened(tmp_path, text)
    assert said in str(caught.value) and "mine.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing.csv' cannot be read \\(No such file"):
        _ = PromptSetConfig(file=str(tmp_path / "nothing.csv")).opened
