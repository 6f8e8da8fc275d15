"""The operators' port: the status page and its data."""
