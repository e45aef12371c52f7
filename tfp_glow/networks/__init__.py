"""The Keras networks that condition couplings and priors, as in the papers.

Each is an ordinary Keras 3 layer: it can be used anywhere, and any other layer
in its place. Work on weights is done in the weights' precision, convolutions
in the layer's `compute_dtype`.
"""

from tfp_glow.networks.convolution import append_channels
from tfp_glow.networks.glow import ActNormConv2D
from tfp_glow.networks.glow import ClassEmbedding
from tfp_glow.networks.glow import GlowNetwork
from tfp_glow.networks.glow import ZeroConv2D
from tfp_glow.networks.glow import ZeroDense
from tfp_glow.networks.nice import DenseNetwork
from tfp_glow.networks.real_nvp import OffsetBatchNorm
from tfp_glow.networks.real_nvp import ResidualBlock
from tfp_glow.networks.real_nvp import ResidualNetwork
from tfp_glow.networks.real_nvp import WeightNormConv2D
