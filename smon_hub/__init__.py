"""The hub of smon: stores, judges, alerts and shows what the agents send."""

__version__ = "0.1.0"
