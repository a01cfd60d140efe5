"""SMART on FHIR as it travels: URLs, bytes, JSON, Bundles, tokens. Values in, dataclasses out; no
database.
"""
