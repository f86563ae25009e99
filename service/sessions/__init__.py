"""Live sequences: states kept between requests, exactly once, and told why they ended. `sessions.py` is the way in."""
