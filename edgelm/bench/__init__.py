"""Speed and memory of a model file."""
