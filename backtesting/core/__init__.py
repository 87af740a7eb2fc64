"""The loop over bars and the command that runs it."""
