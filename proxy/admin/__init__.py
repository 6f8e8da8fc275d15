"""The operators' port: the status page, and what it is told."""
