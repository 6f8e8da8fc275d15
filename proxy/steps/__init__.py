"""Who asks, may they, which bytes, what is told: the steps that `gateway` takes, and what they stand on."""
