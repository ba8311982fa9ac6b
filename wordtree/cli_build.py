"""`wordtree tree build`: a tree from the labels of data sets."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from schemas.errors import ConfigError
from wordtree.cli_check import tree_facts
from wordtree.cli_parts import SPEC_HELP, add_parser

if TYPE_CHECKING:
    from wordtree.build import BuiltTree
    from wordtree.build_options import BuildOptions
    from wordtree.label_space import LabelMap
    from wordtree.wordnet import WordNet

MOST_LINES = 60
MOST_LEFT_OUT = 6

RECIPE_HELP = """
people: ImageNet has withdrawn most of what lies below person (n00007846), so labels there that come from a list of
wnids are left out, and told. ILSVRC's ballplayer, groom and scuba diver, which were not withdrawn, stay, and so do
classes that a data set names itself, such as COCO's person or Open Images' Man.
"""


def add_build(commands: Any) -> None:
    """Add `wordtree tree build`."""
    build = add_parser(
        commands,
        "build",
        "build a WordTree from the labels of data sets",
        "  wordtree tree build --labels coco imagenet:wnids.txt --out tree\n"
        "  wordtree tree build --labels imagenet:9k.txt --recipe yolo9000 --compare 9k.tree --out 9k\n\n"
        + SPEC_HELP
        + RECIPE_HELP,
        run=run_build,
    )
    build.add_argument("--labels", nargs="+", required=True, metavar="SPEC", help="label spaces, see below")
    build.add_argument("--out", required=True, metavar="DIR", help="the tree directory to write")

    rules = build.add_argument_group("what the tree looks like")
    rules.add_argument(
        "--recipe",
        metavar="NAME",
        help="all of the options below as for a tree of YOLO9000: `wordtree1k` or `yolo9000`",
    )
    rules.add_argument(
        "--tie",
        metavar="RULE",
        help="which of several paths is taken that add equally few nodes: the smallest wnids read from the label "
        "upwards (`wnid-up`, the default) or from the root downwards (`wnid-down`), the `shortest`, the first in "
        "WordNet's file (`pointer`), or by chance (`random:SEED`); moves labels that have several hypernyms",
    )
    top = rules.add_mutually_exclusive_group()
    top.add_argument("--keep-top", action="store_true", help="keep entity, physical entity and abstraction: one root")
    top.add_argument(
        "--drop-top",
        nargs="+",
        metavar="WNID",
        help="leave out these concepts instead; what hangs below them becomes a root",
    )
    rules.add_argument("--one-root", action="store_true", help="put entity above the roots if there are several")
    rules.add_argument(
        "--no-collapse",
        action="store_true",
        help="keep nodes that are no labels and have one child: more nodes, and groups of one that teach nothing",
    )
    rules.add_argument(
        "--hoist-only-leaves",
        action="store_true",
        help="make a leaf that is the only child of a label its sibling, as in the published 9k tree: no group of one, "
        "but a concept excludes its own kind",
    )
    rules.add_argument(
        "--patch",
        metavar="FILE",
        help="table with columns child and parent: edges that replace WordNet's; `darknet` is the published tree's",
    )
    rules.add_argument(
        "--no-instances",
        action="store_true",
        help="do not follow instance hypernyms (Mars is a planet): labels that are single things are left out",
    )
    rules.add_argument(
        "--exclude",
        nargs="+",
        default=(),
        metavar="WNID",
        help="leave out all labels below these concepts; the concepts themselves may be labels",
    )
    rules.add_argument(
        "--include-person", action="store_true", help="keep labels below person too that come from a list of wnids"
    )

    build.add_argument("--compare", metavar="TREE", help="tell every difference from this published tree")
    build.add_argument("--force", action="store_true", help="replace a tree directory with another content")
    build.add_argument("--dry-run", action="store_true", help="build and print, but write nothing")
    build.add_argument("--verbose", action="store_true", help="tell everything to look at in words, as in lint.tsv")
    build.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run_build(args: argparse.Namespace) -> int:
    """Build a tree and write its directory."""
    from wordtree.build import build_tree
    from wordtree.files import placed_spaces, read_tree, table, write_tree_directory
    from wordtree.label_files import load_label_map
    from wordtree.label_names import own_names
    from wordtree.lint import lint, lint_lines
    from wordtree.recipes import DIFFERENCE_COLUMNS, compare_trees, comparison_lines, comparison_rows
    from wordtree.show import fitting_depth, tree_lines
    from wordtree.wordnet import load_wordnet

    say = _silent if args.json else print
    begin = time.perf_counter()
    spaces = [load_label_map(spec) for spec in args.labels]
    for spec, space in zip(args.labels, spaces, strict=True):
        if space.every_wnid:
            raise ConfigError(f"--labels {spec}: this space is all of WordNet; list the wnids with imagenet:FILE")
    published = None if args.compare is None else read_tree(args.compare)
    wordnet = load_wordnet()
    options = read_options(args, spaces, wordnet)
    wnids = [row.wnid for space in spaces for row in space.rows]
    say(f"labels   {', '.join(f'{space.name} ({len(space):,})' for space in spaces)}")
    for space in spaces:
        if space.unmapped:
            say(f"skipped  {len(space.unmapped):,} labels of {space.name} that have no synset")
    say(f"synsets  {len(set(wnids)):,} different ones among {len(wnids):,} labels, from WordNet 3.0")
    say(f"options  {describe_options(options)}\n")
    built = build_tree(wordnet, wnids, options)
    tree = built.tree
    placed = placed_spaces(built, spaces, wordnet)
    findings = lint(tree, placed, built.cut_edges)
    comparison = None if published is None else compare_trees(built, published, wordnet)
    extra = (
        {}
        if comparison is None
        else {"comparison.tsv": table(DIFFERENCE_COLUMNS, comparison_rows(comparison, wordnet))}
    )
    written = not args.dry_run and write_tree_directory(
        built, spaces, args.out, wordnet=wordnet, force=args.force, extra=extra
    )
    seconds = time.perf_counter() - begin
    if args.json:
        facts = tree_facts(tree) | {
            "labels": len(built.labels),
            "left_out": [left.wnid for left in built.left_out],
            "cut_edges": len(built.cut_edges),
            "warnings": [str(finding) for finding in findings if finding.severity == "warning"],
            "notes": sum(finding.severity == "note" for finding in findings),
        }
        if comparison is not None:
            facts["compared"] = {
                "published_nodes": comparison.published_nodes,
                "same_parent": comparison.same_parent,
                "share": round(comparison.share, 6),
                "missing": comparison.count("missing"),
                "extra": comparison.count("extra"),
                "other_parent": comparison.count("parent"),
                "ties": sum(bool(difference.tie) for difference in comparison.differences),
            }
        print(json.dumps(facts | {"out": args.out, "written": written, "seconds": round(seconds, 3)}))
        return 0
    marked = [tree.index(label) for label in built.labels]
    for line in tree_lines(
        tree, marked=marked, named=own_names(tree, placed), max_depth=fitting_depth(tree, MOST_LINES), most=MOST_LINES
    ):
        print(line)
    print("\n* is a label\n")
    for lines in (
        left_out_lines(built, wordnet),
        lint_lines(findings, verbose=args.verbose, full_in="" if args.dry_run else "lint.tsv"),
        [] if comparison is None else comparison_lines(comparison, wordnet),
    ):
        for line in lines:
            print(line)
    rows = [
        ("labels", f"{len(built.labels):,}"),
        *((key, f"{value:,}" if isinstance(value, int) else value) for key, value in tree_facts(tree).items()),
        ("cut edges", f"{len(built.cut_edges):,}"),
        ("seconds", f"{seconds:.2f}"),
    ]
    print("\n".join(f"{key:<10} {value:>8}" for key, value in rows))
    if args.dry_run:
        print(f"\ndry run: nothing was written; {args.out} would hold the tree")
    else:
        print(f"\n{args.out}: {'written' if written else 'has this very content already; left as it is'}")
    return 0


def read_options(args: argparse.Namespace, spaces: Sequence[LabelMap], wordnet: WordNet) -> BuildOptions:
    """The options that the command line asks for.

    Classes that a data set names itself stay although they lie below person; those of a list of wnids do not.

    Raises:
        ConfigError: a recipe together with other options, or an unknown recipe.
    """
    from wordtree.build_options import ILSVRC_PEOPLE, PERSON, TOP, BuildOptions
    from wordtree.recipes import read_patches, recipe_options

    if args.recipe is not None:
        given = [
            f"--{name.replace('_', '-')}"
            for name in (
                "tie",
                "keep_top",
                "drop_top",
                "one_root",
                "no_collapse",
                "hoist_only_leaves",
                "patch",
                "no_instances",
                "exclude",
                "include_person",
            )
            if getattr(args, name)
        ]
        if given:
            raise ConfigError(f"--recipe {args.recipe} settles all options; leave out {' and '.join(given)}")
        return recipe_options(args.recipe)
    asked = tuple(dict.fromkeys(args.exclude))
    people = () if args.include_person or PERSON in asked else (PERSON,)
    named = {row.wnid for space in spaces for row in space.rows if row.wnid != row.label} if people else set[str]()
    above = {wnid: wordnet.closure(wnid) for wnid in named if wnid in wordnet}
    keep = [wnid for wnid, over in above.items() if PERSON in over and not over & set(asked)]
    return BuildOptions(
        drop_top=() if args.keep_top else tuple(args.drop_top or TOP),
        collapse=not args.no_collapse,
        hoist_only_leaves=args.hoist_only_leaves,
        patches=read_patches(args.patch) if args.patch else {},
        tie=args.tie or "wnid-up",
        one_root=args.one_root,
        instances=not args.no_instances,
        exclude=(*people, *asked),
        keep=tuple(sorted({*keep, *ILSVRC_PEOPLE})) if people else (),
    )


def describe_options(options: BuildOptions) -> str:
    """The options in one line."""
    words = [
        f"{len(options.drop_top)} top concepts dropped" if options.drop_top else "keep top",
        f"{'' if options.collapse else 'no '}collapse",
        f"{'' if options.hoist_only_leaves else 'no '}hoisting",
        f"{len(options.patches)} patches",
        f"ties {options.tie}",
    ]
    words += ["one root"] if options.one_root else []
    words += [] if options.instances else ["no instances"]
    words += [f"without what is below {', '.join(options.exclude)}"] if options.exclude else []
    return ", ".join(words)


def left_out_lines(built: BuiltTree, wordnet: WordNet) -> list[str]:
    """How many labels are no nodes, the first of them, and why: one line for each reason."""
    from wordtree.build_options import PERSON

    lines: list[str] = []
    for below in dict.fromkeys(left.below for left in built.left_out):
        wnids = [left.wnid for left in built.left_out if left.below == below]
        names = ", ".join(wordnet.name(wnid) for wnid in wnids[:MOST_LEFT_OUT])
        more = " …" if len(wnids) > MOST_LEFT_OUT else ""
        why = f"below {wordnet.name(below)} ({below})" if below else "that are single things"
        hint = "; ImageNet has withdrawn most of these, --include-person keeps them" if below == PERSON else ""
        lines.append(f"left out {len(wnids):,} labels {why}: {names}{more}{hint}")
    return lines


def _silent(*_: object) -> None:
    """Say nothing: for --json."""
