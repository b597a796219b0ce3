"""`python -m pose_tf.cli COMMAND` is `pose-tf COMMAND`."""

from pose_tf.cli import main

if __name__ == "__main__":
    main()
