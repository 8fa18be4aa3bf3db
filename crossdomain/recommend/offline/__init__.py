"""Offline evaluation of recommenders on any log of interactions, and the models that are compared there."""
