"""A Cloudreve that behaves as recorded, for tests, the demo and the benchmark."""
