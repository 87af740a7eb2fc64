"""Open orders and the next bar give fills."""
