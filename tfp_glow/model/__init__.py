"""A Keras model that fits a flow to images."""

from tfp_glow.model.flow_model import FlowModel
from tfp_glow.model.pixels import PREPROCESSING
from tfp_glow.model.pixels import Pixels
