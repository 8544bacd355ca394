"""GGUF and ONNX files from a model directory, quantised and verified."""
