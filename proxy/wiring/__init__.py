"""The composition root: builds, starts and closes every object."""
