"""`cellserve top`: a running server in the terminal, looked at again and again."""
