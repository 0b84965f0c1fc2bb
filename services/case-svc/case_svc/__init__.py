"""Owns client records and persons, the case file, its plan, tasks, notes and timeline."""
