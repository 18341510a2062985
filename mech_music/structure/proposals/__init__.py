"""Where a recording may return to earlier music, by its sound, against matched and null pairs."""
