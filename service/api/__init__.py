"""The door: messages to checked rows, deliveries to messages, errors to statuses. No torch."""
