"""Metrics, log lines and redaction."""
