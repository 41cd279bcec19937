"""The `worker` and `scheduler` roles: queue consumers and periodic jobs."""
