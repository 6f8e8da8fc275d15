"""The bytes that a grant names: lookup, stream buffer, proof of completeness, variants."""
