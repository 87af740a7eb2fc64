"""What things cost, each measured beside something it can be compared with in the same process."""
