"""Text as every domain package needs it: normalising and tokens. Pure; imports nothing of the platform's data."""
