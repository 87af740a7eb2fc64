"""The house's words: frozen types, protocols, errors and canonical JSON; pure."""
