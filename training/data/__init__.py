"""Images to train on and to evaluate, from any of the sources, as batches."""

from training.data.config import get_config
from training.data.pipeline import Data
from training.data.pipeline import open
