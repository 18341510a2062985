"""``python -m mech_music concepts``: what can be asked about: concepts, words, and words for sets of pairs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mech_music.cli.explain import in_one_line
from mech_music.listeners.classes import class_names
from mech_music.prompts.concepts import Category
from mech_music.prompts.prompt_set import PromptSet

USAGE = """\
What a prompt set offers: its concepts and words, the labels that hear them, and the words for sets of them.

  python -m mech_music concepts                        the prompts of the study, velez2024
  python -m mech_music concepts prompt_set=<name>      another one, conf/prompt_set/<name>.yaml
  python -m mech_music concepts prompt_set.file=<csv>  prompts of your own

  --config-dir <folder>    where a prompt set of your own is, as it is given to the run

Words mean what they mean to mech-music run. docs/prompts.md says how to write a prompt set.
"""


def listing(study: PromptSet) -> RenderableType:
    """Categories with their concepts, and below them the words for several."""
    concepts = Table(title=f"prompt_set={study.name}", title_justify="left")
    for column in ("category", "concept", "in prompts", "heard by", "labels (the first gives the odds)", "prompts"):
        concepts.add_column(column, justify="right" if column == "prompts" else "left")
    for category in study.categories.values():
        _add(concepts, study, category)
    words = Table("word", "as concept=…", "as pair=…", title="words for several", title_justify="left")
    for word in dict.fromkeys([*study.concept_groups, *study.pair_groups]):
        found, pairs = study.concept_groups.get(word, []), study.pair_groups.get(word, [])
        first = ", ".join([*(f"{a.name}-{b.name}" for a, b in pairs[:3]), *(["…"] if pairs[3:] else [])])
        words.add_row(word, ", ".join(concept.name for concept in found), f"{len(pairs)}: {first}" if pairs else "")
    said = study.template or f"{len(study.own)} prompts of {study.source}"
    pair = "A pair is original-desired: two concepts of one category"
    across = "".join(f", or {both}" for both in study.across)
    return Group(Text(said, style="bold"), "", concepts, "", words, Text(f"{pair}{across}.", style="dim"))


def _add(table: Table, study: PromptSet, category: Category) -> None:
    table.add_section()
    names = class_names(category.heard_by) if category.concepts else ()
    for place, concept in enumerate(category.concepts):
        labels = " · ".join(names[label] for label in concept.labels)
        name = concept.name if concept in category.group else f"{concept.name} (not in {category.name}s)"
        kind, n = category.name if place == 0 else "", str(study.n_prompts(concept))
        table.add_row(kind, name, concept.text, concept.heard_by, labels, n)
    others = [word for word in category.words if word not in {concept.text for concept in category.concepts}]
    if others:
        table.add_row("" if category.concepts else category.name, "", ", ".join(others), "", "no concepts", "")


def main(words: Sequence[str] | None = None) -> None:
    """Print the listing. Exits with 1 and one line on stderr if the prompt set cannot be read."""
    words = sys.argv[1:] if words is None else words
    console = Console(highlight=False, markup=False)
    if {"-h", "--help"} & set(words):
        console.print(USAGE, end="", soft_wrap=True)
        return
    with in_one_line():
        console.print(_listed(words))


def _listed(words: Sequence[str]) -> RenderableType:
    """The listing of the prompt set that a command line composes."""
    from hydra import compose

    from mech_music.cli import launcher
    from mech_music.cli.foreign import composing
    from mech_music.tasks.registry import as_run, register

    register()
    launcher.install()
    with composing(words) as overrides:
        return listing(as_run(compose("config", overrides)).study)


if __name__ == "__main__":
    main()
