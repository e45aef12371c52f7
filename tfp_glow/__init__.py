"""Normalizing flows for images: NICE, RealNVP and Glow as TFP bijectors."""

from tfp_glow import dependencies

dependencies.check()

# pylint: disable=g-import-not-at-top,wrong-import-position
from tfp_glow import bijectors
from tfp_glow import networks
from tfp_glow import presets
from tfp_glow.bijectors import *
from tfp_glow.checkpoints import load_dinh_real_nvp
from tfp_glow.checkpoints import load_openai_glow
from tfp_glow.checkpoints import save_openai_glow
from tfp_glow.glow import Glow
from tfp_glow.latent import attribute_direction
from tfp_glow.latent import interpolate
from tfp_glow.latent import manipulate
from tfp_glow.model import FlowModel
from tfp_glow.nice import NICE
from tfp_glow.real_nvp import RealNVP
from tfp_glow.serving import export_saved_model

__version__ = '0.1.0'
