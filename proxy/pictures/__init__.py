"""The bytes that a grant names: lookup, stream buffer, media types, proof of completeness."""
