"""The sparse pattern A of a chain: stored, computed from the state number, or compiled from a
user's rule."""
