"""Compaction: which units a mask makes superfluous (plan), the arrays without them (cut), and the report."""
