"""What runs inside orchestrations: steps, their outcomes, waits, and the order of undos. Pure."""
