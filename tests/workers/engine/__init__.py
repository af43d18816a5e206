"""Tests of the sealed training room: no services, real small models."""
