"""Records, poses, objects to paste, and the tf.data pipelines that read them."""
