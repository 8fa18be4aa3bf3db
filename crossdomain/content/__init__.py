"""What items are about: the catalogue as of a day, topics, similarity and bundles. Pure functions."""
