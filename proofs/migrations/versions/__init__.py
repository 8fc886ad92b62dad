"""One module for each edition of the tables."""
