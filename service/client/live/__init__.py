"""Live sequences in the hands of a client: what was fed, what is unanswered, what to send again."""
