"""The decoder, its presets, and Hugging Face directories in and out."""
