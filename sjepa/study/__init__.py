"""What is run, and what came out."""
