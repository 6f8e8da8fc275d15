"""HTTP on one side, the model on the other."""
