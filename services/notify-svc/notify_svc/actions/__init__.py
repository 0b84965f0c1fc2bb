"""The verbs, by noun.

fanout      tell: an event becomes feed items and deliveries, in the inbox transaction
endpoints   register, change, remove, rotate_secret, ping
deliveries  redeliver
attempts    claim, settle, sweep: what the deliver loop does to the database
"""
