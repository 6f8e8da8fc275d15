"""A random drill: whatever two replicas show is held against what Cloudreve grants, while Redis fails."""
