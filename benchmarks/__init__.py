"""Ratios against peers, each one command; the last line of each is one JSON object."""
