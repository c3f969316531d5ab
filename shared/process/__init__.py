"""What one process of the app has: its threads, clients, credential, deadlines and logs."""
