"""Definitions compiled to closures."""


class FlagSet:
    """All flags of a project, compiled; immutable."""
