"""What iterations and sequences take, learnt while serving. Knows no queue."""
