"""What comes again on a GPU: chunks recorded once and repeated in one launch."""
