"""What a network is, as data: its layers, shapes, step arithmetic, masks and states, decided without torch and without values."""
