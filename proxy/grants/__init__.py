"""Cloudreve's permission for one identity to see one File URI: lookup, resolve, validity, invalidation."""
