"""Deterministic stories. No SDK, clock, random or environment in here."""
