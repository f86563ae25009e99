"""Traffic: a server of networks, its command line and its client. `app.py` puts the rooms together."""
