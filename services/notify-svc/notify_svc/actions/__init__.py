"""The verbs, by noun.

fanout      tell: an event becomes feed items and deliveries, in the inbox transaction
endpoints   register, change, remove, rotate_secret, ping
deliveries  redeliver
standing    hold, release, cancel_removed: deliveries stand as their endpoint does
hints       wake this process's senders at a commit
attempts    claim, settle, sweep: what the deliver loop does to the database
"""
