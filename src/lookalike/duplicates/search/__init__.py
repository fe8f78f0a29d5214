"""Find copies: candidate pairs, their verification in processes, groups around the image to keep."""
