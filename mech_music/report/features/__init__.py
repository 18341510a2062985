"""The feature browser: a folder of pages, data and sounds that needs no network (`write`)."""
