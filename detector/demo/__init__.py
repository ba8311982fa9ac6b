"""The demo: a data set drawn on the spot, and the whole job from drawing to report on it."""
