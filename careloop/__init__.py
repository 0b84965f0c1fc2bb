"""The operator's command line: starts, seeds, plays and stops a whole Careloop on one machine."""
