"""What each subject of the preflight checks judges. Pure."""
