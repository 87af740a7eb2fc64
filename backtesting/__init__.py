"""Outcomes: decisions become fills, fills become money, money becomes numbers that can be checked."""
