"""Routes that put several slices together."""
