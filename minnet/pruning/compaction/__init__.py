"""How a mask becomes a smaller network: which units go (plan), what is left of the arrays (cut), and what is told."""
