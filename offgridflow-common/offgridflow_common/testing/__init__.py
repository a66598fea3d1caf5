"""Test doubles and the contract test for taps."""
