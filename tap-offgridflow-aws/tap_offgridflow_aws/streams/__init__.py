"""The streams of the AWS tap."""
