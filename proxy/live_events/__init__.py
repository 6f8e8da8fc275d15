"""Changes made directly at Cloudreve: its live events end the grants concerned."""
