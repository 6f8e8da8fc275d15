"""Calls to the outside: Cloudreve's API, its live events, and the image behind a signed URL."""
