"""The quickstart's detector: a small HRNet-W16 at half the resolution, five minutes on 2 cores with the sample data.

Differs from the paper: half the channels before the branches, one exchange in each stage and half the residual units;
images are averaged to 128x128 first; Adam 2e-3 with warm-up and cosine decay; the cross-entropy to a Gaussian beside
the integral loss; mirror images, in training and when predicting; bfloat16.
Run:        tools/quickstart.sh
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.stage = "detector"
    config.seed = 0
    config.strategy = "auto"  # or one_device, mirrored, multi_worker
    config.init_from = ""  # start from these weights: a workdir, a .keras file or a checkpoint
    config.precision = "mixed_bfloat16"  # float32, mixed_float16 or mixed_bfloat16
    config.tf32 = False  # let GPUs from the A100 on round the factors of float32 products to 10 bits: faster
    config.jit_compile = False  # compile the network's part of the step with XLA
    config.deterministic = False  # kernels that give the same bits every time, on GPUs too; slower
    config.batch_norm = "replica"  # statistics of each replica's samples; or synchronized, or frozen
    config.profile_steps = ()  # (10, 15): profile these steps for TensorBoard
    config.flip_test = True  # average with the mirror image when predicting, at twice the cost

    config.model = ml_collections.ConfigDict()
    config.model.name = "hrnet"
    config.model.width = 16
    config.model.stem = 32  # channels before the branches
    config.model.modules = (1, 1, 1)  # exchanges between resolutions in stages 2, 3 and 4
    config.model.blocks = 2  # residual units between two exchanges
    config.model.downsample = 2  # average images over 2x2 pixels first, say: four times as fast, and coarser

    config.data = ml_collections.ConfigDict()
    config.data.batch_size = 16  # of all replicas together; 0: replica_batch_size for each
    config.data.replica_batch_size = 0  # 0: batch_size shared out
    config.data.on_damage = "stop"  # or skip damaged records
    config.data.service = ""  # host:port of a tf.data service that reads in this machine's place
    config.data.validation_subjects = (8,)
    config.data.validation_samples = 100

    config.augment = ml_collections.ConfigDict()
    config.augment.flip = 0.5  # probability of a mirror image
    config.augment.rotation = 0.0  # up to this many degrees
    config.augment.scale = 0.0  # up to this relative change

    config.occlusion = ml_collections.ConfigDict()
    config.occlusion.bank = "occluders.npz"  # written by tools/build_occluders.py
    config.occlusion.probability = 0.0  # that an image is occluded
    config.occlusion.min_count = 1  # objects
    config.occlusion.max_count = 8
    config.occlusion.min_scale = 0.2  # size of an object relative to half its size in VOC
    config.occlusion.max_scale = 1.0

    config.color = ml_collections.ConfigDict()
    config.color.brightness = 0.0  # up to this relative change
    config.color.contrast = 0.0
    config.color.saturation = 0.0
    config.color.hue = 0.0  # up to this share of a whole turn

    config.loss = ml_collections.ConfigDict()
    config.loss.integral = 0.0  # equation 3 of the paper
    config.loss.integral_l1 = 0.05
    config.loss.heatmap = 0.0
    config.loss.released_heatmap = 0.0
    config.loss.distribution = 1.0
    config.heatmap_sigma = 1.0  # of the Gaussian targets, in cells

    config.decoding = ml_collections.ConfigDict()
    config.decoding.method = "soft_argmax"  # or debiased, argmax, unshifted_argmax
    config.decoding.beta = 1.0
    config.decoding.alignment = "half_pixel"  # heatmap cell i at pixel 4i + 1.5; corner: at 4i

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.weight_decay_form = "decoupled"  # or coupled: an L2 penalty on the loss
    config.optimizer.decay_biases = False  # and batch normalisation
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 50
    config.optimizer.final_fraction = 0.01
    config.optimizer.clip_norm = 0.0  # of all gradients together; 0: no clipping
    config.optimizer.ema = 0.0  # decay of a moving average of the weights, such as 0.999; 0: none

    config.train = ml_collections.ConfigDict()
    config.train.epochs = 13.0
    config.train.half_size_until = 0.0  # share of the steps that see images of half the size
    config.train.steps_per_call = 5  # between two looks at the progress
    config.train.report_every_steps = 50
    config.train.validate_every_epochs = 6.5
    config.train.checkpoint_every_minutes = 5.0
    config.train.checkpoints_kept = 3  # and the one of the best validation
    return config
