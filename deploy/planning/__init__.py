"""Capacity: what a number of pictures, visitors and replicas need, from measured figures and a simulated stream."""
