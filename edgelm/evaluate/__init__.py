"""Metrics, label scoring, baselines; the same code for every runtime."""
