"""Each figure the project quotes comes out of a command here."""
