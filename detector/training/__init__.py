"""Training, part by part: schedules, the step, what is refused, the run directory, evaluation on the way.

`detector.train` puts them together.
"""
