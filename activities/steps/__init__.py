"""The steps of a deployment: one file a noun, act and undo side by side, each of them safe to repeat."""
