"""The exercises themselves, one part of the model a file."""
