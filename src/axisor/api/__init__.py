"""The `api` role: REST, the WebSocket hub and, where nothing else does, the built web app."""
