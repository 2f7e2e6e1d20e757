"""Files in and out: series of any format, annotations, exports. Every convention that is not canonical ends here."""
