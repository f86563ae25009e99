"""Arrays, and anything else that a person describes layer by layer, into canonical networks."""
