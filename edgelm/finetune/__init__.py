"""Regimes and methods of adapting a pretrained decoder to a task."""
