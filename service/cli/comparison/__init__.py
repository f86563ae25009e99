"""`cellserve compare`: how two versions answer the same inputs, as numbers and as a page"""
