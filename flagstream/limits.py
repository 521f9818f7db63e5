"""
Bounds that no setting changes: what is longer cannot be told apart, stored or shown as it should.

``docs/reference/limits.md`` lists them beside those that are settings. Characters are those of
Unicode: an emoji is one, where JavaScript counts two.
"""

MAX_EVENTS = 5_000
"""Events of a request."""

MAX_LINES = 10_000
"""Groups of a request that names one a line."""

MAX_EVENT_NAME_CHARS = 200
MAX_ID_CHARS = 200
"""Of a distinct id, and of a session's."""

MAX_GROUP_NAME_CHARS = 400
"""Of a group's key, and of a type's name."""

MAX_GROUP_TYPES = 5
"""Of a project."""

MAX_GROUPS_NAMED = 100
"""Groups that one event, or one flag request, names."""

MAX_PROPERTY_NAME_CHARS = 1_000
MAX_STATE_BYTES = 3_500_000
"""Of a stored group or person: behind what capture lets in, as a record on Kafka has a largest."""
