"""``python -m mech_music.doctor [--fetch] [--quick] [model=…] [<key>=<value> …]``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from rich.console import Console

from mech_music.cli import launcher
from mech_music.cli.explain import in_one_line
from mech_music.config.paths import conf_dir, options
from mech_music.config.schema import RunConfig
from mech_music.tasks.registry import as_run, register

_ABOUT = """\
Says whether this machine can run a model: versions, GPU and memory, disk, caches, which weights are here, and
what a pass of each model holds. Ends with 0 if the model can run, else with 1 and the reasons, one line each.
Without --fetch nothing is asked of the network.
"""
_EXAMPLES = """\
  python -m mech_music.doctor                                    the bundled model
  python -m mech_music.doctor model=small model.dtype=bfloat16   any value of the run's config
  python -m mech_music.doctor model=small model.path=<folder> classifier.path=<file>
  python -m mech_music.doctor --fetch model=small                get its weights; again: go on where it stopped
"""


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m mech_music.doctor", description=_ABOUT, epilog=_EXAMPLES, formatter_class=plain
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="as for mech_music.run (default: model=tiny)")
    parser.add_argument("--fetch", action="store_true", help="download the model's weights and check them")
    parser.add_argument("--quick", action="store_true", help="measure nothing")
    return parser


def composed(words: Sequence[str]) -> RunConfig:
    """The config that ``mech_music.run`` would compose from the words."""
    register()
    launcher.install()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return as_run(compose("config", list(words)))


def run(arguments: Sequence[str] | None, console: Console) -> int:
    """The exit code. UserError for a mistake, and for a download that stopped."""
    wanted = _parser().parse_args(arguments)
    asked = composed(wanted.words)
    if wanted.fetch:
        # The client's progress bars, which the quiet imports would turn off.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0")
    from mech_music.doctor import machine, screen
    from mech_music.doctor.verdict import clips_a_second, judge

    if wanted.fetch:
        from mech_music.doctor.fetch import fetch
        from mech_music.doctor.parts import parts_of

        for line in fetch(parts_of(asked)):
            console.print(line)
    lines = [*machine.hardware(), *machine.places(asked.engine.store), machine.classifiers(), machine.login()]
    screen.show_machine(console, machine.versions(), lines)
    verdict = judge(asked)
    measured: dict[str, float] = {}
    bundled = not (asked.model._target_ or asked.model.hub_id or asked.model.path)
    if bundled and not verdict.reasons and not wanted.quick:
        with console.status("measuring tiny"):
            measured[asked.model.name] = clips_a_second(asked)
    others = [judge(composed([f"model={name}"])) for name in options("model") if name != asked.model.name]
    screen.show_models(console, [verdict, *others], measured)
    screen.show_verdict(console, verdict, wanted.words)
    return 1 if verdict.reasons else 0


def main() -> None:
    """Entry point: exits with 0 if the model can run here, else with 1."""
    with in_one_line():
        raise SystemExit(run(None, Console(highlight=False, markup=False, soft_wrap=True)))


if __name__ == "__main__":
    main()
