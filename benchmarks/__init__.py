"""Benchmarks: our clients beside the official SDK and beside a bare aiohttp loop, in one run."""
