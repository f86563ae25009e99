"""Which version answers each alias now, and what the next start and whoever runs the server are told of that."""
