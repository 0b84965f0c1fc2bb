"""Every SELECT of the service; reads of referrals start at what the caller may see."""
