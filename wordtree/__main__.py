"""`python -m wordtree`: the same as the command `wordtree`; no modules are looked for in the working directory."""

import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        sys.path.pop(0)  # the working directory, where the user's own `queue.py` may lie
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # of a source tree
    from wordtree.entry import main

    sys.exit(main())
