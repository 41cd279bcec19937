"""Margin guard: rules that keep a position away from liquidation, and the pure decisions that follow from them."""
