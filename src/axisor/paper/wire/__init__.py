"""The exchange's JSON: the superset of the members that its official SDKs read."""
