"""Normalizing flows for images: NICE, RealNVP and Glow as TFP bijectors."""

from tfp_glow import dependencies

dependencies.check()

# Before TensorFlow: after it TFP loads its experimental modules too.
import tensorflow_probability as _tfp

from tfp_glow import bijectors
from tfp_glow import networks
from tfp_glow.bijectors import ActNorm
from tfp_glow.bijectors import AdditiveCoupling
from tfp_glow.bijectors import AffineCoupling
from tfp_glow.bijectors import BatchNorm
from tfp_glow.bijectors import Chain
from tfp_glow.bijectors import ChannelHalves
from tfp_glow.bijectors import ChannelPermutation
from tfp_glow.bijectors import Checkerboard
from tfp_glow.bijectors import EvenOdd
from tfp_glow.bijectors import FactorOut
from tfp_glow.bijectors import FlowBijector
from tfp_glow.bijectors import InvertibleConv
from tfp_glow.bijectors import InvertibleConvLU
from tfp_glow.bijectors import Scale
from tfp_glow.bijectors import Squeeze
from tfp_glow.bijectors import TopPrior
from tfp_glow.checkpoints import load_dinh_real_nvp
from tfp_glow.checkpoints import load_openai_glow
from tfp_glow.checkpoints import save_openai_glow
from tfp_glow.flows import presets
from tfp_glow.flows.glow import Glow
from tfp_glow.flows.nice import NICE
from tfp_glow.flows.real_nvp import RealNVP
from tfp_glow.latent import attribute_direction
from tfp_glow.latent import interpolate
from tfp_glow.latent import manifold
from tfp_glow.latent import manipulate
from tfp_glow.latent import resample_levels
from tfp_glow.model import FlowModel
from tfp_glow.pretrained_models import pretrained
from tfp_glow.reconstruction_check import ReconstructionCheck
from tfp_glow.score_maps import score_map
from tfp_glow.scores import Typicality
from tfp_glow.scores import score
from tfp_glow.serving import export_saved_model
from tfp_glow.version import __version__
