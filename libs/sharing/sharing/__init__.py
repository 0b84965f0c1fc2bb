"""One policy of who may see what, on every path: SQL, projection, events, explanation."""

from sharing.classes import ALL, ENVELOPE, DataClass
from sharing.fields import class_map, classed, project, unclassed

__all__ = ["ALL", "ENVELOPE", "DataClass", "class_map", "classed", "project", "unclassed"]
