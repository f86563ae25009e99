"""What a request asks of a version and gets back, whatever protocol it came in. Arrays and plain facts; no messages."""
