"""Reads and writes the checkpoints of the papers' own programs."""

from tfp_glow.checkpoints.glow import load_openai_glow
from tfp_glow.checkpoints.glow import openai_glow_variables
from tfp_glow.checkpoints.glow import save_openai_glow
from tfp_glow.checkpoints.real_nvp import dinh_real_nvp_variables
from tfp_glow.checkpoints.real_nvp import load_dinh_real_nvp
