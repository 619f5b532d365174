"""Worlds, models and scenarios that more than one test uses."""
