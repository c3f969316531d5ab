"""What the benchmarks of whole deployments have in common."""
