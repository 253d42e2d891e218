"""From results to the tables that figures show."""
