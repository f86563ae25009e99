"""Who may enter while more comes than can be computed: what is ahead, whose share it is, and when to come again."""
