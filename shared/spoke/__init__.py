"""What a spoke is: the request, its plan, names, addresses, documents and records. Pure."""
