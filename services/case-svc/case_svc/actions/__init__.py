"""One function a verb: load and lock, ask the rule, write, tell."""
