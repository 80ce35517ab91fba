"""Refreshing as a whole: several processes, kills, clocks, and rules that hold whatever happens."""
