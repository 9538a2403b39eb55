"""The client for asyncio: the same services and rules; a connection serves a call at a time."""
