"""Work shared by all who want it: singleflight in one process, over all replicas, and a fair queue."""
