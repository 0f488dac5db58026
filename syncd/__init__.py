"""syncd keeps every state of a moving dataset as a named, immutable lakeFS snapshot."""

__version__ = "0.1.0"
