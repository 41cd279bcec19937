"""The only place that chooses concrete adapters and builds services, one file per role."""
