"""This node among the others: which gateway belongs where, and how a node leaves."""
