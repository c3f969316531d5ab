"""The documents that Azure is sent for a spoke. Pure."""
