"""A stand-in Cloudreve that behaves as recorded, with pictures and a page: for tests, the demo and the bench."""
