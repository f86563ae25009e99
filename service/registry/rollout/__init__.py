"""Gradual promotes: an alias walks from one version to another while bounds hold, and goes back by itself when one is broken"""
