"""Sets a gateway up: what `thumb-proxy init` asks and writes, and what `thumb-proxy install` does to a machine."""
