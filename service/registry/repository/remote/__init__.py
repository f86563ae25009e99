"""A repository in an object store, seen through a folder of this machine: its ledgers, the copies here, and how they change."""
