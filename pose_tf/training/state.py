"""The state of a run: all that its checkpoints hold."""

import dataclasses
import math

import tensorflow as tf

from pose_tf.training.optimizers import make_optimizer
from pose_tf.training.strategy import variable_scope
from pose_tf.training.weight_average import WeightAverage


@dataclasses.dataclass
class TrainingState:
    """What a step, a validation and a checkpoint change.

    Attributes:
        model: the network.
        optimizer: with its moments; a `LossScaleOptimizer` if the precision is mixed_float16.
        average: moving average of the weights, or None.
        best: lowest error of a validation, infinite before the first one.
        best_step: step of that validation.
        validated_step: step of the last validation.
        step: how many steps were taken. The optimizer may count fewer: it skips gradients that overflow in float16.
    """

    model: tf.keras.Model
    optimizer: tf.keras.optimizers.legacy.Optimizer
    average: WeightAverage | None
    best: tf.Variable = dataclasses.field(default_factory=lambda: tf.Variable(math.inf))
    best_step: tf.Variable = dataclasses.field(default_factory=lambda: tf.Variable(0, dtype=tf.int64))
    validated_step: tf.Variable = dataclasses.field(default_factory=lambda: tf.Variable(0, dtype=tf.int64))
    step: int = 0

    def checkpoint(self) -> tf.train.Checkpoint:
        """What is saved, under the names that all checkpoints have."""
        parts = {"model": self.model, "optimizer": self.optimizer}
        parts |= {"best": self.best, "best_step": self.best_step, "validated_step": self.validated_step}
        return tf.train.Checkpoint(**parts, **(self.average.state if self.average else {}))


def make_state(config, model, strategy, total_steps: int, steps_per_epoch: int) -> TrainingState:
    """The state of a new run.

    Args:
        config: the recipe.
        model: made under the strategy's scope.
        strategy: of the variables.
        total_steps: of the whole run, which learning-rate schedules depend on.
        steps_per_epoch: of each epoch.
    """
    with variable_scope(strategy):
        optimizer = make_optimizer(config.optimizer, total_steps, steps_per_epoch)
        if config.precision == "mixed_float16":
            optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
        # A checkpoint needs all variables from the beginning: one may be written before the first step.
        optimizer._create_all_weights(model.trainable_weights)
        average = WeightAverage(model, config.optimizer.ema) if config.optimizer.ema else None
    return TrainingState(model, optimizer, average)
