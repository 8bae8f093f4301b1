"""Headwater's stages: one module per DVC stage, each built on the rooms beside it."""

import os

# Before anything imports torch: how long its OpenMP threads spin while they wait for each other. The default is so long
# that beside other busy processes training stands almost still; without spinning it takes twice as long on a quiet
# machine. Tokens/s of the default model on two cores, alone and beside two busy processes: default 9,000 and 2,100,
# 10,000 turns 9,000 and 3,200, none 5,200 and 4,600.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Before anything imports pyarrow: whose memory it takes. Its default, mimalloc, keeps what each of Arrow's threads had:
# over 8,106 pages a process of filter took 308 MB at most with it, 245 with the system's, and one of dedup 224 and 134
# (Arrow's own buffers are some 20), for up to a tenth more time where little is done but read and write.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
