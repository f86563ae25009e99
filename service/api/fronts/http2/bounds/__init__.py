"""What one client may cost: pings, frames, bytes that it makes the server hold, silence."""
