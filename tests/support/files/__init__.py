"""Files as other programs and the published data sets have them."""
