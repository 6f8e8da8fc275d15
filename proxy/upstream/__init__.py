"""The two calls to the outside: Cloudreve's API and the image behind a signed URL."""
