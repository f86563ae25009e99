"""Live sequences: recurrent states that stay on the server between requests. See sessions.py, the way in."""
