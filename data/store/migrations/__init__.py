"""Alembic's folder: the steps that bring the schema `market` to what the store expects."""
