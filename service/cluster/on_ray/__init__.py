"""Servers as replicas of Ray Serve, none of whose requests pass through it: runs in Ray's own environment, without ours."""
