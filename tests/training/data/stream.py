"""Prints a digest of a stream of images.

`python -m tests.training.data.stream FIELDS` prints that of nine batches from
step 20 on; FIELDS are those of the data's recipe, in JSON.
"""

import hashlib
import json
import sys

from training import data

if __name__ == '__main__':
  config = data.get_config()
  config.update(json.loads(sys.argv[1]))
  stream = data.open(config).train_batches(8, seed=3, start_step=20)
  digest = hashlib.sha256()
  for batch in stream.take(9).as_numpy_iterator():
    digest.update(batch)
  print(digest.hexdigest())
