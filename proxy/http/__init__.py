"""HTTP towards visitors and operators: applications, routes, header fields, limits."""
