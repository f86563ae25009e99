"""Files of Keras, of any release, into canonical networks."""
