"""How fast the gateway is, against nginx in the same run. `deploy/bench` starts it."""
