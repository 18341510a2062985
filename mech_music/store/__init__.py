"""The store: every clip, and what listeners read of it, addressed by what decides it.

`python -m mech_music.store` shows, verifies, compacts and prunes it.
"""

from mech_music.store.rows import Store

__all__ = ["Store"]
