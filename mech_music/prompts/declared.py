"""What ``prompt_set/<name>.yaml`` writes, checked and made into a `PromptSet`.

Everything that can be wrong in such a file is one line that names the value, what is allowed, and the fix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from string import Formatter
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mech_music.base.errors import UserError, first_line, unknown
from mech_music.base.paths import user_path
from mech_music.config.paths import find_config, options
from mech_music.listeners.classes import CLASSIFIER, find_class
from mech_music.prompts.concepts import Category, Concept
from mech_music.prompts.csv_file import read_prompts
from mech_music.prompts.prompt_set import PromptSet

DEFAULT = "velez2024"
_NAME = re.compile(r"[^\s,+={}]+")


@dataclass
class ConceptConfig:
    """``text``: how prompts say it, if not by its name. ``labels``: classes of the category's listener, as numbers or
    names, the first gives the odds; without any, the class that is called like the text."""

    text: str | None = None
    labels: list[Any] = field(default_factory=list)


@dataclass
class CategoryConfig:
    """A place of the template. ``words``: what fills it in prompts about other categories' concepts, in this order.

    ``concepts``: those that can be asked for, null for each of the words if ``heard_by`` is given, else for none.
    ``heard_by``: the listener whose classes the labels are; null for the classifier. ``group``: the concepts that
    ``<category>s`` stands for, null for all.
    """

    words: list[str] = field(default_factory=list)
    concepts: dict[str, ConceptConfig] | None = None
    heard_by: str | None = None
    group: list[str] | None = None


@dataclass
class PromptSetConfig:
    """Prompts and the concepts in them; without categories, the file of the default set.

    ``study``: the categories that ``all``, ``within`` and ``cross`` stand for, null for all.
    ``file``: a CSV of prompts in the place of the template, with a column ``text`` and one for each category.
    ``pair``: what tasks take where no pair is asked for.
    """

    name: str = ""
    template: str = ""
    categories: dict[str, CategoryConfig] = field(default_factory=dict)
    study: list[str] | None = None
    file: str | None = None
    pair: str = field(default="guitar-piano", metadata={"named": "never"})

    @cached_property
    def opened(self) -> PromptSet:
        """What it writes, read and checked once. UserError for the first thing that makes no sense."""
        return _opened(json.dumps(asdict(self)))


@cache
def load_prompt_set(name: str = DEFAULT) -> PromptSet:
    """The prompt set of ``prompt_set/<name>.yaml``. UserError if there is no such file or something is wrong in it."""
    return _read(find_config("prompt_set", name)).opened


def by_category(prompt_set: str, concepts: Collection[str]) -> dict[str, list[str]]:
    """The concepts of a table by category, both as the prompt set that it names has them.

    Concepts that are not found (no config folder has the set) come last, as one category without a name.
    """
    found = load_prompt_set(prompt_set).categories.values() if prompt_set in options("prompt_set") else ()
    groups = {kind.name: [concept.name for concept in kind.concepts if concept.name in concepts] for kind in found}
    known = {name for names in groups.values() for name in names}
    groups[""] = [name for name in dict.fromkeys(concepts) if name not in known]
    return {kind: names for kind, names in groups.items() if names}


def _read(path: Path, **more: Any) -> PromptSetConfig:
    try:
        merged: Any = OmegaConf.merge(OmegaConf.structured(PromptSetConfig), OmegaConf.load(path), more)
        return cast(PromptSetConfig, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise UserError(f"'{path}' cannot be read ({first_line(error)})") from error


@cache
def _opened(written: str) -> PromptSet:
    merged: Any = OmegaConf.merge(OmegaConf.structured(PromptSetConfig), json.loads(written))
    config = cast(PromptSetConfig, OmegaConf.to_object(merged))
    if not config.categories and not config.template and not config.name:
        config = _read(find_config("prompt_set", DEFAULT), file=config.file)
    with_name = f"prompt_set '{config.name}'"
    if not config.name:
        raise UserError("prompt_set has no name: write name: <a word> in its file")
    if not config.categories:
        raise UserError(f"{with_name} has no categories: write at least one, with its words or concepts")
    try:
        return _made(config)
    except UserError as error:
        raise UserError(f"{with_name}: {error}") from error


def _made(config: PromptSetConfig) -> PromptSet:
    categories = {name: _category(name, found) for name, found in config.categories.items()}
    _check_words(categories)
    hearing = [name for name, category in categories.items() if category.concepts]
    study = hearing if config.study is None else config.study
    for name in study:
        if name not in hearing:
            raise UserError(f"study: {unknown('category with concepts', name, hearing)}")
    if config.file is not None:
        own = read_prompts(user_path(config.file), categories)
        return PromptSet(config.name, categories, tuple(study), own=own, source=config.file)
    places = _places(config.template, categories)
    ordered = {name: categories[name] for name in places}
    for name, category in categories.items():
        if not category.words:
            raise UserError(
                f"category '{name}' has no words: prompts about other concepts have none to put in its place"
            )
    return PromptSet(config.name, categories, tuple(study), config.template, tuple(ordered))


def _places(template: str, categories: Mapping[str, Category]) -> list[str]:
    """The categories that a template names, in its order."""
    try:
        found = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise UserError(f"template '{template}' cannot be read ({error}): write each category in braces") from error
    for name in found:
        if name not in categories:
            raise UserError(f"template: {unknown('category', '{' + name + '}', ['{' + n + '}' for n in categories])}")
        if found.count(name) > 1:
            raise UserError(f"template names {{{name}}} {found.count(name)} times; allowed: once")
    for name in categories:
        if name not in found:
            raise UserError(f"category '{name}' is not in the template: write {{{name}}} in it, or remove the category")
    return found


def _category(name: str, config: CategoryConfig) -> Category:
    heard_by, written = config.heard_by or CLASSIFIER, config.concepts
    if written is None:
        named = {word.replace(" ", "-"): ConceptConfig(word) for word in config.words} if config.heard_by else {}
    else:
        named = written
    concepts = {key: _concept(key, found or ConceptConfig(), name, heard_by) for key, found in named.items()}
    group = list(concepts) if config.group is None else config.group
    for key in group:
        if key not in concepts:
            raise UserError(f"group of {name}: {unknown('concept', key, concepts)}")
    first: dict[int, str] = {}
    for concept in concepts.values():
        if (other := first.setdefault(concept.labels[0], concept.name)) != concept.name:
            raise UserError(
                f"{name}s {other} and {concept.name} have the same first label, so neither could be told from the "
                "other: give them different ones"
            )
    every = tuple(concepts.values())
    return Category(name, tuple(config.words), every, tuple(concepts[key] for key in group), heard_by)


def _concept(name: str, config: ConceptConfig, category: str, heard_by: str) -> Concept:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"concept '{name}' of {category}: a name has no spaces, commas, + or =; write text: {name} below it"
        )
    text = config.text or name
    try:
        labels = tuple(find_class(label, heard_by) for label in config.labels or [text])
    except UserError as error:
        lacking = "" if config.labels else " has no labels, and its text is none: write labels: [names or numbers]"
        raise UserError(f"concept '{name}' of {category}{lacking}: {error}") from error
    return Concept(name, text, category, labels, heard_by)


def _check_words(categories: Mapping[str, Category]) -> None:
    """UserError for a word or a concept's name that is in two categories, or twice in one."""
    for what in ("word", "concept"):
        seen: dict[str, str] = {}
        for name, category in categories.items():
            texts = dict.fromkeys([*category.words, *(c.text for c in category.concepts)])
            for word in texts if what == "word" else [concept.name for concept in category.concepts]:
                if (other := seen.setdefault(word, name)) != name:
                    raise UserError(f"{what} '{word}' is in two categories, {other} and {name}: leave it in one")
    for name, category in categories.items():
        if again := [word for word in category.words if category.words.count(word) > 1]:
            raise UserError(f"category '{name}' has the word '{again[0]}' twice")
        texts = [concept.text for concept in category.concepts]
        if again := [text for text in texts if texts.count(text) > 1]:
            raise UserError(f"category '{name}' has two concepts with the text '{again[0]}'")
