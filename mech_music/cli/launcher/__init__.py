"""The Hydra plugins of this project, in the nested ``hydra_plugins`` namespace where Hydra looks for them."""

import sys
from pathlib import Path


def install() -> None:
    """Let Hydra find the plugins: its namespace package is searched for on ``sys.path``."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.append(folder)
