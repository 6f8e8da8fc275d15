"""Sealed URLs: permission to see one picture, which the URL itself carries."""
