"""One writer for each document that spokes share: desired rows, and who may write."""
