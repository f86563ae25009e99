"""Where the truth about live sequences is: in this process, or in a store that replicas share."""
