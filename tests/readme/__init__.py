"""The README is run: each of its blocks is claimed by a test."""
