"""Benchmarks of our clients, the official SDK and a bare aiohttp loop, side by side in one run."""
