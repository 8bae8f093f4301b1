"""Headwater's stages: one module per DVC stage, each built on the rooms beside it."""

import os

# Before anything imports torch: how long its OpenMP threads spin while they wait for each other. The default is so long
# that beside other busy processes training stands almost still; without spinning it takes twice as long on a quiet
# machine. Tokens/s of the default model on two cores, alone and beside two busy processes: default 9,000 and 2,100,
# 10,000 turns 9,000 and 3,200, none 5,200 and 4,600.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
