"""The log: lines that cannot hold a secret, written without making anybody wait."""
