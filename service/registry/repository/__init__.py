"""The truth on disk: published versions, aliases and what killed processes have left."""
