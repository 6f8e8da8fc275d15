"""Measures galleries of photographs: what they weigh, how they look, and when a first visit is complete."""
