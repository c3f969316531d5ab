"""Azure Table Storage: the client, records and reservations."""
