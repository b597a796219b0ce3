"""The state of a run, as checkpoints hold it."""

import dataclasses
import math

import tensorflow as tf

from pose_tf.training.optimizers import make_optimizer
from pose_tf.training.strategy import variable_scope
from pose_tf.training.weight_average import WeightAverage


@dataclasses.dataclass
class TrainingState:
    """Everything that training and validation change.

    Attributes:
        model: the network.
        optimizer: the optimizer and its moments; a `LossScaleOptimizer` if the precision is mixed_float16.
        average: moving average of the weights, or None.
        best: lowest validation error so far; infinite before the first validation.
        best_step: step of that validation.
        validated_step: step of the last validation.
        step: number of steps taken. The optimizer may count fewer, since it skips gradients that overflow in float16.
    """

    model: tf.keras.Model
    optimizer: tf.keras.optimizers.legacy.Optimizer
    average: WeightAverage | None
    best: tf.Variable = dataclasses.field(default_factory=lambda: tf.Variable(math.inf))
    best_step: tf.Variable = dataclasses.field(default_factory=lambda: tf.Variable(0, dtype=tf.int64))
    validated_step: tf.Variable = dataclasses.field(default_factory=lambda: tf.Variable(0, dtype=tf.int64))
    step: int = 0

    def checkpoint(self) -> tf.train.Checkpoint:
        """The saved variables, under the names that all checkpoints use."""
        parts = {"model": self.model, "optimizer": self.optimizer}
        parts |= {"best": self.best, "best_step": self.best_step, "validated_step": self.validated_step}
        return tf.train.Checkpoint(**parts, **(self.average.state if self.average else {}))


def make_state(config, model, strategy, total_steps: int, steps_per_epoch: int) -> TrainingState:
    """The state of a new run.

    Args:
        config: the recipe.
        model: the network, made under the strategy's scope.
        strategy: the strategy under which to make the variables.
        total_steps: steps of the whole run, for the learning-rate schedule.
        steps_per_epoch: steps of an epoch.
    """
    with variable_scope(strategy):
        optimizer = make_optimizer(config.optimizer, total_steps, steps_per_epoch)
        if config.precision == "mixed_float16":
            optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
        # Create all variables now, because a checkpoint may be written before the first step.
        optimizer._create_all_weights(model.trainable_weights)
        average = WeightAverage(model, config.optimizer.ema) if config.optimizer.ema else None
    return TrainingState(model, optimizer, average)
