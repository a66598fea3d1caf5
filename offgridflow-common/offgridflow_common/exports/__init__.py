"""Reading the files of delivered exports, column by column."""
