"""Deterministic orchestrations. No SDK, clock, random or environment in here."""
