"""What every stage stands on: parameters, the stage harness, shards and commit records, runtime."""
