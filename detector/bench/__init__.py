"""`wordtree bench`: what accuracy costs, as in Huang et al. 2017, figures 2 and 3.

An arm is a run at one size of image and, of a two-stage detector, with one number of proposals:

    words ─► subjects ─► arms ─► (a process each) ─► arms.jsonl ─► bench.json, bench.csv, bench.html
             training of
             configurations

    subjects, arms    what is compared: pure, and refused before anything runs
    training          configurations become runs, by the ordinary trainer
    process, one_arm  an arm in a process of its own: stopwatch, memory, operations, stages, then AP
    records           what was measured, so that a second command goes on
    job               all of it in order
    busy              whether other work disturbed the stopwatch
    frontier, table, figures, labels, stage_bars, page   what is shown
"""
