"""What the server tells of itself: facts kept as they come, and booked as Prometheus series and as statistics."""
