"""``mech-music <verb> …``, or ``python -m mech_music <verb> …``: one command for everything; without words, help.

`VERBS` says which module each is; a module runs by itself as well: ``python -m mech_music.report …``.
"""

from __future__ import annotations

import sys
from importlib import import_module

from rich.console import Console

VERBS = {
    "run": ("mech_music.run", "run an experiment, or with -m a sweep of many"),
    "concepts": ("mech_music.prompts.__main__", "what can be asked about: concepts, words and pairs"),
    "review": (
        "mech_music.structure.review.__main__",
        "where recordings return: propose, listen, decide, agree",
    ),
    "report": ("mech_music.report.__main__", "one HTML page of a run's or a sweep's results"),
    "sae": ("mech_music.saes.__main__", "a run's features for other tools: export"),
    "dashboard": ("mech_music.dashboard.__main__", "the W&B workspace and report of a sweep"),
    "store": ("mech_music.store.__main__", "what is stored: sizes, checks, clean-up"),
    "power": ("mech_music.power", "how many prompts and seeds a sweep needs"),
    "doctor": ("mech_music.doctor.__main__", "what this machine can run, and getting weights"),
    "cluster": ("mech_music.doctor.cluster", "whether a cluster's workers can run: check"),
    "bench": ("mech_music.benchmarks.__main__", "measure the speed on this machine"),
}


def usage() -> str:
    """The verbs, a line each."""
    lines = [f"  mech-music {verb:<10} {what}" for verb, (_, what) in VERBS.items()]
    return "\n".join(
        [
            "mech_music: intervene on a music model's activations and measure what is heard.",
            "",
            *lines,
            "",
            "mech-music <verb> --help explains a verb; python -m mech_music <verb> is the same.",
        ]
    )


def main() -> None:
    """Exits as the verb does; 1 with one line for a word that is none. Words such as ``component=ca`` mean ``run``."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        Console(markup=False, highlight=False, soft_wrap=True).print(usage())
        return
    verb, rest = ("run", words) if "=" in words[0] or words[0].startswith("-") else (words[0], words[1:])
    if verb not in VERBS:
        from mech_music.cli.explain import fail, unknown

        fail(unknown("command", verb, VERBS))
    sys.argv = [f"mech-music {verb}", *rest]
    import_module(VERBS[verb][0]).main()


if __name__ == "__main__":
    main()
