"""A page on which one plays with an exported model."""
