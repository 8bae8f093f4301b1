"""Headwater's stages: one module per DVC stage, each built on the rooms beside it."""

import os

# Before anything imports torch, whose OpenMP threads else wait for each other by spinning: beside another busy process
# that made training eleven times slower (84 against 8 s for 40 small steps on two cores with a load of 7).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
