"""Signing in and out: cookie, session, OAuth."""
