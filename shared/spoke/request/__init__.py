"""What a caller asks for."""
