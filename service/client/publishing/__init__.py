"""What clients do with the registry of a server: publish, remove, watch and verify, each resumed where it was broken off."""
