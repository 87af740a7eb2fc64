"""Decisions: one session of the agents at one instant, observed and never altered."""
