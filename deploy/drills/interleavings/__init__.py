"""A random drill: whatever gateways show while files change through them is held against what Cloudreve showed then."""
