"""The demo: a gallery in front of the stand-in, and its page."""
