"""``mech-music cluster check engine.executor=submitit|ray [<key>=<value> …]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.cli.explain import in_one_line
from mech_music.cli.validation import validate
from mech_music.config.schema import ExecutorName

_ABOUT = """\
Starts workers as a run would, and makes nothing: each says whether its packages' versions, its weights (by their
content) and its store are those of where the command is given, whether the store can be written, and which card it has.
Ends with 0 if every worker can run, else with 1 and one line that names the first that cannot, and why.
"""
_EXAMPLES = """\
  mech-music cluster check engine.executor=submitit engine.submitit.partition=gpu engine.submitit.gpus=1 model=small
  mech-music cluster check engine.executor=ray engine.ray.address=auto engine.ray.gpus=1 model=small
"""


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="mech-music cluster", description=_ABOUT, epilog=_EXAMPLES, formatter_class=plain
    )
    parser.add_argument("verb", choices=["check"])
    parser.add_argument("words", nargs="*", metavar="key=value", help="as for a run")
    return parser


def run(arguments: Sequence[str] | None, console: Console) -> None:
    """Say what workers found. UserError for a mistake, and for a worker that cannot run."""
    from mech_music.doctor.__main__ import composed

    wanted = _parser().parse_args(arguments)
    asked = composed(wanted.words)
    validate(asked)
    if asked.engine.executor is ExecutorName.local:
        raise UserError("engine.executor=local has no cluster: add engine.executor=submitit or ray (or ask the doctor)")
    from mech_music.engine.opening import open_engine

    open_engine(asked).check()
    console.print(f"every worker can run: {' '.join(['mech-music run', *wanted.words])}")


def main() -> None:
    """Entry point."""
    with in_one_line("stopped; what was submitted is cancelled"):
        run(None, Console(highlight=False, markup=False, soft_wrap=True))


if __name__ == "__main__":
    main()
