"""Where the files of each time keep a model's configuration and its arrays. Knows no layers."""
