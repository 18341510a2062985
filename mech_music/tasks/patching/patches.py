"""The edits that patch a run at a site, or along a path."""

from __future__ import annotations

from dataclasses import dataclass

from mech_music.edits.patch import Patch
from mech_music.edits.row import Half, Row
from mech_music.models.hooks import Hook
from mech_music.tasks.patching.sites import Site


@dataclass(frozen=True)
class Window:
    """The part of a run that is patched: a slice of steps (None for all), and the guidance half."""

    steps: tuple[int, int] | None = None
    half: Half = Half.both

    def patch(self, hook: Hook, source: Row, heads: tuple[int, ...] | None = None) -> Patch:
        """The source's activations at a hook, or those of some heads."""
        return Patch(hook.name, source, self.steps, self.half, heads)


def patches(site: Site, base: Row, source: Row, window: Window) -> tuple[Patch, ...]:
    """What makes ``base`` run on with the source's activations at a site.

    Path patching (Wang et al., "Interpretability in the Wild", ICLR 2023; Goldowsky-Dill et al., 2023): the sender's
    output is patched in a run in which all branches between sender and receiver have base's own values, so that the
    receiver hears of it through the residual stream alone; what the receiver then gives is patched into base. The end
    of that run is held too: its tokens are base's, and nothing else tells the two apart.
    """
    sent = tuple(window.patch(hook, source, site.heads) for hook in site.hooks)
    if site.receiver is None:
        return sent
    held = tuple(Patch(hook.name, base) for hook in site.held)
    along = Row(base.prompt, base.seed, (*sent, *held))
    return (window.patch(site.receiver, along),)
