"""
From captured events to records of the log.

Knows neither HTTP nor names of the wire. Only changes of state are sent: an update that the view
shows already is left out, unless something is in flight that could change that.
"""

from .service import Ingest, Ingested
from .warnings import WarningSamples

__all__ = ["Ingest", "Ingested", "WarningSamples"]
