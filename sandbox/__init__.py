"""A strict stand-in for an eClinicalWorks / healow practice, spoken to over HTTP only.

Run it with ``python -m sandbox``; tests start :class:`sandbox.server.Sandbox` in their own process.
It imports nothing of HeadacheMD, so that both sides can only agree by the protocol.
"""
