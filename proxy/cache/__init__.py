"""The tiers: where grants, refusals and pictures are kept."""
