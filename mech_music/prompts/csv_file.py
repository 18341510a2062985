"""Prompts of one's own, from a CSV: a column ``text``, and one for each category with the word that the prompt has."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from mech_music.base.errors import UserError
from mech_music.prompts.concepts import Category, Prompt

TEXT = "text"


def read_prompts(path: Path, categories: Mapping[str, Category]) -> tuple[Prompt, ...]:
    """The prompts of a file, in its order; other columns are left alone, an empty cell means no word.

    A concept's word may be its text or its name, in capitals or not.

    UserError, with the line's number, for columns and values that are missing and for a prompt that is there twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [TEXT, *categories]
            if lacking := [name for name in columns if name not in (reader.fieldnames or [])]:
                raise UserError(
                    f"'{path}', line 1: no column '{lacking[0]}'; the first line names the columns {', '.join(columns)}"
                )
            lines = [(reader.line_num, {name: line[name] for name in columns}) for line in reader]
    except OSError as error:
        raise UserError(f"prompt_set.file '{path}' cannot be read ({error.strerror}): name a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"prompt_set.file '{path}' is no CSV in UTF-8 ({error}): save it as one") from error
    texts = {
        (name, spelt.lower()): concept.text
        for name, category in categories.items()
        for concept in category.concepts
        for spelt in (concept.name, concept.text)
    }
    seen: dict[str, int] = {}
    prompts = []
    for number, line in lines:
        if short := [name for name, value in line.items() if value is None or (name == TEXT and not value.strip())]:
            raise UserError(f"'{path}', line {number}: no value for '{short[0]}'")
        cells = {name: str(value).strip() for name, value in line.items()}
        if (first := seen.setdefault(cells[TEXT], number)) != number:
            raise UserError(f"'{path}', line {number}: the same prompt as line {first}; remove one of them")
        words = {name: texts.get((name, cells[name].lower()), cells[name]) for name in categories}
        prompts.append(Prompt(cells[TEXT], words))
    if not prompts:
        raise UserError(f"'{path}' has no prompts: write one a line below the names of the columns")
    return tuple(prompts)
