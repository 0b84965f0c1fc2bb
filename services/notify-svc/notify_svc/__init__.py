"""Owns what partners are told: each organisation's event feed, its webhook endpoints and every delivery."""
