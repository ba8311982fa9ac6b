"""Commands of a page, one after another in one process, which loads Beam and TensorFlow once for all of them.

Standard input holds a JSON list: the words of each command. The first command that fails ends it, and is named.
"""

from __future__ import annotations

import json
import shlex
import sys

from wordtree.command import main

if __name__ == "__main__":
    for words in json.load(sys.stdin):
        print(f"$ wordtree {shlex.join(words)}", flush=True)
        if code := main(words):
            sys.exit(code)
