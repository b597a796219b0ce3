"""Records, pipelines, statistics and the embedded sample."""
