"""Vertical slices: a slice may call the service of a lower slice, never of a higher one."""
