"""What the door does when more comes than it can read: which calls are read, and how many are accepted and begun at a time."""
