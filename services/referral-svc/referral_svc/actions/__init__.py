"""One function per verb: load, ask the rule, write, record the event and the audit row."""
