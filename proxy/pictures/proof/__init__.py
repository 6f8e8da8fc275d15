"""Proof that a picture is complete, one module per format, each a walk that goes on as the bytes arrive."""
