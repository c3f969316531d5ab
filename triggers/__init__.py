"""HTTP and timer triggers: in, call, out."""
