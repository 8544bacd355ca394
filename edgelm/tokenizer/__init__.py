"""Byte-level BPE: training, the fertility report, and the rules every runtime shares."""
