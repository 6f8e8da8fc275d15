"""A thumbnail caching reverse proxy for Cloudreve v4."""

__version__ = "0.1.0"
