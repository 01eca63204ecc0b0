"""The programs of the pages of differences, run in the real frameworks."""
