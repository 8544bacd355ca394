"""Speed, memory and quality of model files, side by side."""
