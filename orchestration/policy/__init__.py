"""Pure arithmetic from opinions to orders: consensus, risk limits, sizing."""
