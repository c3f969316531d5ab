"""A local Azure for development and tests: never deployed, never imported by the app."""
