"""NICE as the approximate posterior of a Bayesian model.

    python examples/variational_posterior.py

The posterior is a banana, which no Gaussian fits. The loss is the
Kullback-Leibler divergence from the flow to it, so that 0 is perfect.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_glow

tfd = tfp.distributions


def target_log_prob(x):
  """x_0 is normal, and x_1 lies near x_0**2 / 2."""
  x_0, x_1 = x[..., 0], x[..., 1]
  return (tfd.Normal(0., 1.).log_prob(x_0) +
          tfd.Normal(x_0**2 / 2., .3).log_prob(x_1))


def main(num_steps=1000):
  """Fits, and returns the losses and the mean of x_1, which is 0.5."""
  tf.random.set_seed(0)
  posterior = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0., 1.), 2),
      tfp_glow.NICE(2, couplings=4, hidden_layers=2, width=32, seed=0))
  losses = tfp.vi.fit_surrogate_posterior(
      target_log_prob, posterior, tf_keras.optimizers.Adam(5e-3),
      num_steps=num_steps, sample_size=64, seed=1,
      trainable_variables=posterior.trainable_variables).numpy()
  samples = posterior.sample(10_000, seed=2)
  mean = float(np.mean(samples[:, 1]))
  print(f'divergence {losses[0]:.2f} at first, '
        f'{losses[-num_steps // 10:].mean():.2f} at the end; '
        f'the mean of x_1 is {mean:.2f}, and should be 0.5')
  return losses, mean


if __name__ == '__main__':
  main()
