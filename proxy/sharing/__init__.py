"""What many want at once is done once, and what is scarce goes round: in this process, and over all replicas."""
