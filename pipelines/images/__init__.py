"""What an encoded image is, from its header; and the few steps that look at pixels."""
