"""Work shared by all requests that need it: singleflight in a process, on a machine and over replicas; fair queue."""
