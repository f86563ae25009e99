"""What Envoy is told: its configuration as data, and the filter that finds out which live sequence a request belongs to."""
