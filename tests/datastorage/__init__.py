"""Tests of the reference DataStorage service."""
