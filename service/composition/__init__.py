"""What the parts of a server are told, made of its settings: used by the composition root alone."""
