"""Weights and artifacts on local disk: fetched once, checked, least recently used out.

`base_folder` gives a base model's folder wherever its weights come from; `artifact` gives one
object of S3. Both are safe under any number of workers on one machine.
"""

from workers.cache.store import artifact
from workers.cache.weights import Unusable, base_folder, fingerprint

__all__ = ["Unusable", "artifact", "base_folder", "fingerprint"]
