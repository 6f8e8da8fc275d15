"""Looks for problems before visitors find them: what `thumb-proxy check` does."""
