"""What each layer of Keras becomes, and how its arrays become canonical."""
