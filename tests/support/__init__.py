"""Test equipment: servers that misbehave on purpose, and instruments that notice leaks."""
