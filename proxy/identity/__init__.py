"""Turns credentials into an identity: bearer tokens, whoami, published accounts."""
