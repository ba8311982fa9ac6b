"""Finished datasets re-labelled, split and re-written by rows alone: see docs/row-plane.md."""
