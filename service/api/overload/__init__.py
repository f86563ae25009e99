"""What the door does when more comes than it can read: which calls are read, how many begin in a turn, what is logged of it."""
