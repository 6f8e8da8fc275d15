"""Answers repeated requests without aiohttp: index, entry, protocol."""
