"""Drills: a gateway under load while something goes wrong, its answers counted."""
