"""Live sequences on disk: written while the server runs and when it stops, brought back when it starts."""
