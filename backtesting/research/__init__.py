"""Asks many questions at once: strategies over arrays and runs of agents, swept over parameters and over machines."""
