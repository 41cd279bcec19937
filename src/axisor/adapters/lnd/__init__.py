"""The owner's Lightning node: LND over its REST API."""
