"""The rules, by noun.

kinds      which events are told outward, and how a filter names them
readers    for what purpose an organisation is told
signing    Standard Webhooks 1.0.0 signatures, symmetric and asymmetric
schedule   when a delivery is tried again
attempts   what an answer does to a delivery: its states and their moves
verification  whose address it is, and whether it refuses what we did not sign
standing   when an endpoint that fails is warned of and disabled
recovery   a replay of a part of the feed to one endpoint
targets    which addresses a webhook may reach
inbox      what a worker is told of
mailbox    when a worker is written to
letters    what mails say
"""
