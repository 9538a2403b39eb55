"""A module whose import fails with a text of megabytes."""

raise RuntimeError("too much to say " * 200_000)
