"""`python -m wordtree`: the same as the command `wordtree`."""

import sys

from wordtree.command import main

if __name__ == "__main__":
    sys.exit(main())
