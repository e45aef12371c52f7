"""The layers, each a `tfp.bijectors.Bijector` that can be used alone."""

from tfp_glow.bijectors.actnorm import ActNorm
from tfp_glow.bijectors.batch_norm import BatchNorm
from tfp_glow.bijectors.chain import Chain
from tfp_glow.bijectors.channel_permutation import ChannelPermutation
from tfp_glow.bijectors.coupling import AdditiveCoupling
from tfp_glow.bijectors.coupling import AffineCoupling
from tfp_glow.bijectors.factor_out import FactorOut
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors.invertible_conv import InvertibleConv
from tfp_glow.bijectors.invertible_conv import InvertibleConvLU
from tfp_glow.bijectors.masks import ChannelHalves
from tfp_glow.bijectors.masks import Checkerboard
from tfp_glow.bijectors.masks import EvenOdd
from tfp_glow.bijectors.scale import Scale
from tfp_glow.bijectors.squeeze import Squeeze
from tfp_glow.bijectors.top_prior import TopPrior
