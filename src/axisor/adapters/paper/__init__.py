"""The paper exchange's control interface."""
