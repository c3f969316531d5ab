"""One file per noun: the act and its undo side by side, each of them safe to repeat."""
