"""Owns documents: metadata, immutable versions, labels, and what they are attached to."""
