"""Owns the service directory (HSDS) and the referrals: their states, messages and deadlines."""
