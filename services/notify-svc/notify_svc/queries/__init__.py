"""Every SELECT, by noun. Reads start from what the caller may see.

visible    the one decision: libs/sharing over a message, for feed, fan-out and attempt alike
audience   who may learn of an event, and which endpoints of theirs want it
feed       an organisation's events after a number
endpoints  webhook endpoints of the caller's organisation
deliveries deliveries and their attempts, of the caller's organisation
claims     what is due, and everything an attempt needs
"""
