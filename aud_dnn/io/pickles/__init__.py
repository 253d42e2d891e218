"""Published pickles, opened without running what is in them.

No other code may open or write pickles.
"""
