"""What a model's owner wants, as rules over plain facts: how model.yaml is read, and which versions stay loaded"""
