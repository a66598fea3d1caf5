"""What sits on the Meltano SDK: the block writer and the two kinds of streams."""
