"""What follows from the journal: proof, prose and pictures, and nothing that is not in it."""
