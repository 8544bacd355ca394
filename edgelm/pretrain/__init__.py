"""Data loading, optimiser, schedule, loop and checkpoints; finetuning uses the same loop."""
