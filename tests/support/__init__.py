"""Test equipment: servers that misbehave on purpose, and instruments that detect leaks."""
