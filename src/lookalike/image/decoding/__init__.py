"""From the bytes of a file to upright RGB, within limits, in child processes where a decoder may crash."""
