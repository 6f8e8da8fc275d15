"""Being one process of several: the port they share, what they say to one another, what files they may open."""
