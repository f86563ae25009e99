"""What this process is on its machine: its cores, its threads, its memory."""
