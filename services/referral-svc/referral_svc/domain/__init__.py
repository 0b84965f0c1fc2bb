"""The rules of the service, pure: referral life cycle, needs, HSDS reading.

draft ──> requested ──> accepted ──> in-progress ──> completed | failed
             │             │  └──> on-hold <──┘ (and back to in-progress)
             ├> rejected   └> cancelled from accepted, in-progress, on-hold
             └> cancelled            any ──> entered-in-error
"""
