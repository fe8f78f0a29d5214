"""Convert samples of any color space, depth and transfer function to 8-bit sRGB."""
