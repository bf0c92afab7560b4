"""What a task may have injected by its type alone."""

from afterward.children import Children
from afterward.effects import Effects
from afterward.job import Chain, Job
from afterward.progress import Progress
from afterward.results import Results

BUILTIN: tuple[type, ...] = (Progress, Job, Chain, Effects, Results, Children)
