"""Published networks: darknet's .cfg and .weights files, read and written, and runs made of them."""
