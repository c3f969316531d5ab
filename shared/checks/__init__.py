"""What only Azure can tell before a spoke is built: each check a pure function over raw ARM JSON, all reported together."""
