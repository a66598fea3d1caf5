"""Streams, state and the writing of messages, on the Meltano SDK."""
