"""Recommendations of each domain's items to the people of the other: from interactions to ranked rows."""
