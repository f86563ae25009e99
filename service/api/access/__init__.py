"""Who may call what: rights of methods, tokens, administration without tokens, and TLS."""
