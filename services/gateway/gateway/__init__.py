"""Owns who takes part: organisations, clients, keys, agreements, consents, grants; and the one door."""
