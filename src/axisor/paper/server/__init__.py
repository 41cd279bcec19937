"""The wire of the paper exchange: REST v3, stream v1 and the control interface, on one port."""
