"""Feature flags and group state for B2B products, fed by the event stream."""

__version__ = "0.1.0"
