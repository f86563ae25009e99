"""Several servers as one on this machine: replicas, their store and the proxy before them, started, watched and ended."""
