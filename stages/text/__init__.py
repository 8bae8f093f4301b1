"""From documents to tokens: tokenizers, packing, token shards."""
