"""
From captured events, and from what a flag request tells of a person, to records of the log.

Knows neither HTTP nor names of the wire. Only changes of state are sent: an update that the view
shows already is left out, unless something is in flight that could change that.
"""

from .continuity import Continuity
from .planner import Planner
from .service import Ingest, Ingested

__all__ = ["Continuity", "Ingest", "Ingested", "Planner"]
