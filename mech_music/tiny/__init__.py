"""musicgen-tiny: a MusicGen at 1/200 scale, trained on synthesised music whose concepts are known."""

from mech_music.models.musicgen.bundled import T5_NAME, bundle_dir, packaged_bundle, register_t5, verify_bundle

__all__ = ["T5_NAME", "bundle_dir", "packaged_bundle", "register_t5", "verify_bundle"]
