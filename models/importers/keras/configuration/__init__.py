"""What a configuration of any release says: its graph, its options, and the release that wrote it."""
