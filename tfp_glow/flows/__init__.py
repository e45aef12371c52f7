"""The three flows, each a bijector from one flat latent to the data."""

from tfp_glow.flows.glow import Glow
from tfp_glow.flows.nice import NICE
from tfp_glow.flows.real_nvp import RealNVP
