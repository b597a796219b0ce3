"""The optimizer of a recipe and its learning-rate schedule."""

import tensorflow as tf


class AdamW(tf.keras.optimizers.legacy.Adam):
    """Adam with weight decay.

    Decoupled (Loshchilov and Hutter, ICLR 2019): w ← w − η·λ·w in addition to the step of Adam. Coupled: λ·w, the
    gradient of an L2 penalty λ/2·w² on the loss, is added to the gradient.

    Kernels decay. Biases, batch normalization and other vectors do not, unless `decay_biases`. The legacy base class
    updates a variable with one fused op; the newer one uses twenty. HRNet has 900 variables, so its training step
    traces and starts twice as fast.

    Args:
        learning_rate: η, a number or a schedule.
        weight_decay: λ.
        coupled: whether the decay is coupled.
        decay_biases: whether vectors decay, too, as in PyTorch's optimizers.
    """

    def __init__(
        self,
        learning_rate,
        weight_decay: float,
        coupled: bool = False,
        decay_biases: bool = False,
        name: str = "AdamW",
        **kwargs,
    ):
        super().__init__(learning_rate, name=name, **kwargs)
        self._weight_decay = weight_decay
        self._coupled = coupled
        self._decay_biases = decay_biases

    def _resource_apply_dense(self, grad, var, apply_state=None):
        if not self._weight_decay or (var.shape.rank < 2 and not self._decay_biases):
            return super()._resource_apply_dense(grad, var, apply_state)
        if self._coupled:
            return super()._resource_apply_dense(grad + self._weight_decay * var, var, apply_state)
        learning_rate = apply_state[(var.device, var.dtype.base_dtype)]["lr_t"]
        # `assign` takes over the buffer of the product; `assign_sub` would read and write everything once more.
        with tf.control_dependencies([var.assign((1 - learning_rate * self._weight_decay) * var)]):
            return super()._resource_apply_dense(grad, var, apply_state)


def make_optimizer(config, total_steps: int, steps_per_epoch: int) -> AdamW:
    """Builds the optimizer of a recipe.

    Args:
        config: the recipe's `optimizer` section: `learning_rate`, `weight_decay`, `weight_decay_form` (decoupled or
            coupled), `decay_biases`, `schedule` (constant, cosine, or step: divided by ten after each epoch),
            `warmup_steps` (constant and cosine), `final_fraction` (of the learning rate, at the end of a cosine).
        total_steps: steps of the whole run.
        steps_per_epoch: steps of an epoch.
    """
    return AdamW(
        _make_schedule(config, total_steps, steps_per_epoch),
        config.weight_decay,
        coupled=config.weight_decay_form == "coupled",
        decay_biases=config.decay_biases,
    )


def _make_schedule(config, total_steps, steps_per_epoch):
    if config.schedule == "step":
        return tf.keras.optimizers.schedules.ExponentialDecay(
            config.learning_rate, steps_per_epoch, decay_rate=0.1, staircase=True
        )
    if config.schedule == "constant":
        decay_steps, final_fraction = 1, 1.0
    else:  # cosine
        decay_steps, final_fraction = max(total_steps - config.warmup_steps, 1), config.final_fraction
    return tf.keras.optimizers.schedules.CosineDecay(
        0.0 if config.warmup_steps else config.learning_rate,
        decay_steps,
        alpha=final_fraction,
        warmup_target=config.learning_rate if config.warmup_steps else None,
        warmup_steps=config.warmup_steps,
    )
