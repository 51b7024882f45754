"""Drawing: labelled arrays in, matplotlib figures out. No file is touched and no model imported."""
