"""The commands of the history, one or two in a module, and what they have in common."""
