"""Records, poses and occluders, and the tf.data pipelines that read them."""
