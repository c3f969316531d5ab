"""What triggers, orchestrators and activities stand on. Nothing in here knows `local` or `tests`."""
