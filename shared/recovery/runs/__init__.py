"""What the timers do about runs: dead and stalled ones, restarts, those that ended long ago."""
