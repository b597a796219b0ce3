"""Every setting of a recipe, with its default, which is the value of the paper's first recipe of a stage.

A recipe is a docstring and the settings that differ:

    from pose_tf.configs import base


    def get_config():
        config = base.detector()
        config.model.width = 48
        return config

`pose-tf train --config=RECIPE --print_config` prints all of them. `pose_tf/training/recipe.py` has the range of each.
"""

from ml_collections import ConfigDict


def detector(network: str = "hrnet") -> ConfigDict:
    """Settings of a recipe for a detector, from images to 2D joints; the defaults are those of HRNet-W32.

    Args:
        network: `hrnet`, or `efficientnet_lite0` to `efficientnet_lite4`.
    """
    config = _common("detector")

    config.model = ConfigDict()
    config.model.name = network
    if network == "hrnet":
        config.model.width = 32  # channels of the branch with the highest resolution
        config.model.stem = 64  # channels before the branches
        config.model.modules = (1, 4, 3)  # exchanges between resolutions in stages 2, 3 and 4
        config.model.blocks = 4  # residual units between two exchanges
        config.model.downsample = 1  # 2: average-pool the input 2x2 first, 4x faster, coarser heatmaps; or 4, or 8
    else:
        config.model.scale = 0.75  # size of the image that the network sees, relative to 256 px; 0.5, 0.625, … 1.0
        config.model.pyramid = (64, 96, 128, 128)  # channels at strides 4, 8, 16 and 32 above the backbone

    config.data.mix = ConfigDict()  # shares of a batch, relative to their sum
    config.data.mix.h36 = 1.0  # DATA/h36: Human3.6M's records
    config.data.mix.mpii = 0.0  # DATA/mpii: photographs with 2D joints; one in 20 is held out for validation
    config.data.service = ""  # host:port of a tf.data service; it reads the records instead of this machine
    config.data.validation_samples = 2048  # at most this many, evenly spaced

    config.augment = ConfigDict()
    config.augment.flip = 0.0  # probability of a mirror image
    config.augment.rotation = 0.0  # up to this many degrees
    config.augment.scale = 0.0  # up to this relative change of size
    config.augment.shift = 0.0  # along each axis, up to this fraction of the image
    config.augment.half_body = 0.0  # probability that the upper or the lower body fills the image

    config.occlusion = ConfigDict()
    config.occlusion.bank = "occluders.npz"  # file written by pose-tf build-occluders
    config.occlusion.probability = 0.5  # probability that an image is occluded
    config.occlusion.min_count = 1  # objects in an occluded image
    config.occlusion.max_count = 8
    config.occlusion.min_scale = 0.2  # size of an object relative to half its size in VOC
    config.occlusion.max_scale = 1.0

    config.color = ConfigDict()
    config.color.brightness = 0.2  # up to this relative change
    config.color.contrast = 0.2
    config.color.saturation = 0.2
    config.color.hue = 0.0  # up to this fraction of a full turn

    config.loss = ConfigDict()  # factors of a sum
    config.loss.integral = 1.0  # squared distance of the soft-argmax, equation 3 of the paper
    config.loss.integral_l1 = 0.0  # absolute distance of the soft-argmax
    config.loss.heatmap = 0.0  # squared error to a Gaussian of height 1
    config.loss.released_heatmap = 0.0  # squared error to the target of the paper's released code
    config.loss.distribution = 0.0  # cross-entropy between the softmax of the heatmap and a Gaussian
    config.heatmap_sigma = 2.0  # standard deviation of the Gaussian targets in cells

    config.decoding = ConfigDict()  # from heatmaps to 2D joints
    config.decoding.method = "soft_argmax"  # or debiased, argmax, unshifted_argmax
    config.decoding.beta = 1.0  # factor on the heatmaps before the softmax
    config.decoding.confidence_beta = 0.0  # the same for the confidence; 0: beta
    config.decoding.alignment = "half_pixel"  # heatmap cell i at pixel 4i + 1.5; corner: at 4i

    config.optimizer.learning_rate = 1e-5
    config.train.epochs = 3.0
    config.train.half_size_until = 0.0  # fraction of the steps that use images of half the size, 128x128
    config.train.steps_per_call = 10  # at most so many steps between returns to Python
    config.train.report_every_steps = 100
    config.train.validate_every_epochs = 0.1
    return config.lock()


def end_to_end(network: str = "hrnet", lifter_network: str = "feed_forward") -> ConfigDict:
    """Settings of a recipe for both stages at once, from images to 3D joints: a detector's, and these.

    Args:
        network: see `detector`.
        lifter_network: see `lifter`.
    """
    return with_lifter(detector(network), lifter_network)


def with_lifter(config: ConfigDict, lifter_network: str) -> ConfigDict:
    """A recipe for both stages at once, with all settings of a detector's recipe."""
    with config.unlocked():
        config.stage = "end_to_end"
        config.train_detector = True  # False: only the lifter learns
        config.lifter = ConfigDict(lifter(lifter_network).model.to_dict())
        config.lifter.confidence = True
        config.lifter.features = True  # the detector's features at the joints are inputs of the lifter, too
        config.lifter_init_from = ""  # like init_from, which is the detector's: a workdir
        config.lifter_loss = "squared"  # see loss of a lifter's recipe
        config.lifter_factor = 1.0  # of this loss in the sum of all
        _add_frame(config)
        _add_bones(config)
    return config.lock()


def lifter(network: str = "feed_forward") -> ConfigDict:
    """Settings of a recipe for a lifter, from 2D joints to 3D joints.

    Args:
        network: `feed_forward` or `sem_gcn`.
    """
    config = _common("lifter")

    config.model = ConfigDict()
    config.model.name = network
    config.model.raw_pixels = False  # input in 0 … 256 px instead of -1 … 1
    config.model.confidence = False  # True: the confidence of each joint is an input, too; needs augment.errors
    if network == "feed_forward":
        config.model.units = 1024
        config.model.num_blocks = 2
        config.model.dropout = 0.5
        config.model.share_blocks = False  # one linear layer and one batch normalization for all blocks
    else:
        config.model.channels = 128
        config.model.num_blocks = 4
        config.model.non_local = True  # a non-local layer after each block

    _add_frame(config)
    config.data.poses = ""  # path of an .npz file of poses; used instead of records

    config.augment = ConfigDict()
    config.augment.recompose = False  # another heading and another body for every pose; the next six need it
    config.augment.upper_body_swap = 0.0  # probability of another sample's upper body
    config.augment.arm_swap = 0.0  # probability of another sample's arm, for each arm
    config.augment.bone_length_noise = 0.0  # standard deviation, relative
    config.augment.tilt = 0.0  # standard deviation in degrees of turns about the horizontal axis
    config.augment.tilt_mean = 0.0  # and their mean; below 0: as if the camera looked down less steeply
    config.augment.roll = 0.0  # and then about the axis of the camera
    config.augment.noise_px = 0.0  # standard deviation of the noise on 2D joints
    config.augment.errors = ""  # errors of a detector to add to 2D joints; a file of pose-tf evaluate --detections
    config.augment.similar_errors = 0  # take them from one of so many images with the most similar poses; 0: from any

    config.loss = "squared"  # equation 4 of the paper; distance: the mean distance of the joints
    _add_bones(config)

    config.optimizer.learning_rate = 5e-4
    config.train.epochs = 20.0
    config.train.steps_per_call = 100  # at most so many steps between returns to Python
    config.train.report_every_steps = 500
    config.train.validate_every_epochs = 1.0
    return config.lock()


def _add_frame(config):
    config.frame = "camera"  # of the poses; or sight: of a camera at the same place that looks at the hip


def _add_bones(config):
    config.bones = ConfigDict()  # factors of further losses
    config.bones.length = 0.0  # predicted against true lengths of bones
    config.bones.symmetry = 0.0  # left against right lengths
    config.bones.direction = 0.0  # 1 minus the cosine of the angle between predicted and true bones


def _common(stage):
    """The settings of both stages with the same defaults."""
    config = ConfigDict()
    config.stage = stage
    config.seed = 0
    config.skeleton = "h36m"  # the joints: a name in configs/skeletons, a JSON file, or records: the records' own
    config.strategy = "auto"  # or one_device, mirrored, multi_worker
    config.init_from = ""  # start from these weights: starter, a workdir, a .keras file, a checkpoint, a PyTorch file
    config.precision = "float32"  # or mixed_float16, mixed_bfloat16
    config.tf32 = False  # True: A100 and newer GPUs round the factors of float32 products to 10 bits, which is faster
    config.jit_compile = False  # True: XLA compiles the network, the losses and the gradients
    config.deterministic = False  # True: use only kernels with reproducible results, on GPUs, too; slower
    config.batch_norm = "replica"  # statistics of each replica's samples; or synchronized, or frozen
    config.profile_steps = ()  # (10, 15): profile steps 10 to 14, counted from 0, for TensorBoard
    config.flip_test = False  # True: average predictions with those for the mirror image, at twice the cost

    config.data = ConfigDict()
    config.data.batch_size = 16  # over all replicas; 0: replica_batch_size on each
    config.data.replica_batch_size = 0  # 0: batch_size divided among the replicas
    config.data.on_damage = "stop"  # or skip: leave out damaged records
    config.data.validation_subjects = (8,)

    config.optimizer = ConfigDict()  # Adam
    config.optimizer.weight_decay = 0.05
    config.optimizer.weight_decay_form = "decoupled"  # or coupled: an L2 penalty on the loss
    config.optimizer.decay_biases = False  # True: weight decay also applies to biases and batch normalization
    config.optimizer.schedule = "constant"  # or cosine, or step: a tenth after each epoch
    config.optimizer.warmup_steps = 0
    config.optimizer.final_fraction = 1.0  # final learning rate of a cosine schedule, relative to the initial one
    config.optimizer.clip_norm = 0.0  # limit of the global gradient norm; 0: no clipping
    config.optimizer.ema = 0.0  # decay of a moving average of the weights, such as 0.999; 0: no average

    config.train = ConfigDict()
    config.train.checkpoint_every_minutes = 10.0
    config.train.checkpoints_kept = 3  # the newest ones, in addition to that of the best validation
    return config
