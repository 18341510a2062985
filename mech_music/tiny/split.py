"""``python -m mech_music.tiny.split <folder>``: a planted model in which a concept enters at two layers.

In `planted-apart` the head that hears the instrument adds a function of the prompt's word alone, whatever sounds and at
every step the same (`mech_music.tiny.planted`). So a part of it can be added at a later layer by the same head there,
with the same values, keys of zero and a part of the output projection: nothing is trained. From that layer on the
residual stream has all of it; the layers between the two have the rest only.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.cli.explain import folder_and_values, run_verb
from mech_music.models.musicgen.bundled import planted_folder

USAGE = """\
A version of planted-apart whose instrument enters at two layers, to be used as model=planted-apart model.path=<folder>

  python -m mech_music.tiny.split <folder>

  second=3                 the second layer; the first is 2
  share=0.5                of what the first adds, that the second adds in its place
"""
FIRST, HEAD, HEADS, LAYERS = 2, 1, 4, 8


def split(state: dict[str, Tensor], second: int, share: float) -> dict[str, Tensor]:
    """The weights with ``share`` of what `HEAD` adds at layer `FIRST` added at layer ``second`` instead."""
    found = {name: tensor.clone() for name, tensor in state.items()}
    weights = [
        (found[f"{place}.in_proj_weight"], found[f"{place}.out_proj.weight"])
        for place in (f"transformer.layers.{layer}.cross_attention" for layer in (FIRST, second))
    ]
    (first_in, first_out), (second_in, second_out) = weights
    width = first_out.shape[1] // HEADS
    own = slice(HEAD * width, (HEAD + 1) * width)
    for part, (mine, theirs) in enumerate(
        zip(first_in.chunk(3), second_in.chunk(3), strict=True)
    ):  # queries and keys of zero attend evenly
        theirs[own] = mine[own] if part == 2 else 0.0
    second_out[:, own] = share * first_out[:, own]
    first_out[:, own] *= 1.0 - share
    return found


def write(folder: Path, second: int, share: float) -> None:
    """The split model: a checkpoint beside links to the files that it shares. UserError for what cannot be."""
    if second in (FIRST, 5) or not 0 <= second < LAYERS:
        raise UserError(f"second={second}: expected a layer that nothing enters at: 0, 1, 3, 4, 6 or 7")
    if not 0.0 < share < 1.0:
        raise UserError(f"share={share:g}: expected a number between 0 and 1")
    source = planted_folder() / "apart"
    checkpoint = torch.load(source / "state_dict.bin", weights_only=True)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint["best_state"] = split(checkpoint["best_state"], second, share)
    with replacing(folder / "state_dict.bin") as partial, partial.open("wb") as file:
        torch.save(checkpoint, file)
    for shared in ("compression_state_dict.bin", "t5", "classifier.safetensors", "classifier.json"):
        with replacing(folder / shared) as partial:
            partial.symlink_to(os.path.realpath(source / shared))


def main(words: Sequence[str] | None = None) -> None:
    """Write the folder. Exits with 1 and one line on stderr if that cannot be done."""
    run_verb(words, USAGE, _write)


def _write(words: Sequence[str], console: Console) -> None:
    folder, values = folder_and_values(words, "python -m mech_music.tiny.split <folder>", ("second", "share"))
    try:
        second, share = int(values.get("second", 3)), float(values.get("share", 0.5))
    except ValueError as error:
        raise UserError(f"{error}: expected second=<layer> and share=<number>") from error
    write(folder, second, share)
    console.print(f"Wrote {folder}. Use it: model=planted-apart model.name=planted-twice model.path={folder}")


if __name__ == "__main__":
    main()
