"""Traces of requests as OpenTelemetry has them, for servers that are told where to send them."""
