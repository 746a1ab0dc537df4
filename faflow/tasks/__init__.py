"""Data and losses to learn from, synthetic, real or the user's own, with known answers."""

from .answers import best_rank_error as best_rank_error
from .answers import feedback_limit as feedback_limit
from .answers import minimum_norm_map as minimum_norm_map
from .answers import pseudo_inverse as pseudo_inverse
from .answers import row_space_projector as row_space_projector
from .arrays import array_names as array_names
from .arrays import load_npz as load_npz
from .arrays import unknown_arrays as unknown_arrays
from .blocks import SAMPLES as SAMPLES
from .data import REDUCTIONS as REDUCTIONS
from .data import Data as Data
from .data import make_data as make_data
from .losses import LOSSES as LOSSES
from .losses import AbstractLoss as AbstractLoss
from .losses import CrossEntropy as CrossEntropy
from .losses import LogCosh as LogCosh
from .losses import Squared as Squared
from .preprocess import WHITENINGS as WHITENINGS
from .preprocess import preprocess as preprocess
from .task import TASKS as TASKS
from .task import Task as Task
from .task import make_task as make_task
from .task import task_facts as task_facts
from .teacher import Teacher as Teacher
from .teacher import from_teacher as from_teacher
