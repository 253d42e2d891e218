"""The published data: transfer, archives, what belongs where, and what arrived."""
