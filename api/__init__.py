"""Everything of Tunery that runs without a GPU: the door, the verbs, the tables and the words."""

__version__ = "0.1.0"
