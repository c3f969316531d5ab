"""What orchestrations call: the steps, the passes of both writers, the records of a run. Each is safe to repeat."""
