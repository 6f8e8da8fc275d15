"""Passes requests without a route of their own to Cloudreve."""
