"""Benchmarks: the trigger index against its peers, side by side in one run, with both sides' answers compared."""
