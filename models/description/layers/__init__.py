"""The kinds of layers, each of which says of itself whatever the rooms ask of a layer."""
