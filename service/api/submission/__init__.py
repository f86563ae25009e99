"""From the rows of a request into the engine, and from its deliveries back to whoever waits for them."""
