"""A Lightning network of two paper nodes: the exchange's own, and a user's that speaks LND's REST API."""
