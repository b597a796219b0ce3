"""The detector as the paper's released code trains it: HRNet-W32 on heatmaps.

Reproduces: train_2d_hrnet.py of the authors' repository (A-3D-Human-Pose-Estimation-Pipeline): squared error to a
            blurred cell of unit norm, Adam with an L2 penalty of 0.05 on all weights, 1e-5 and a tenth after each of 3
            epochs, batch 16, from ImageNet weights.
Published:  PA-MPJPE 58.59 mm with the feed-forward lifter, on Human3.6M.
Differs:    from configs/hrnet_w32.py (the paper) in the loss, the argmax instead of the expectation, the penalty on the
            loss instead of decoupled decay, the schedule, 1 to 7 occluders, and jitter of the hue.
            From the released code: occluders and colours are fresh in every step and off in validation; one subject is
            held out instead of a tenth of the frames; joints outside the image count nothing instead of the image
            being left out.
Run:        python tools/import_torch.py --arch=hrnet_w32 --checkpoint=hrnet_w32-36af842e.pth --workdir=runs/imagenet
            python tools/train.py --config=configs/released/hrnet_w32.py --config.init_from=runs/imagenet \\
                --data_dir=DATA --workdir=runs/released_hrnet_w32
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.stage = "detector"
    config.seed = 0
    config.strategy = "auto"  # or one_device, mirrored, multi_worker
    config.init_from = ""  # start from these weights: a workdir, a .keras file or a checkpoint
    config.precision = "float32"  # float32, mixed_float16 or mixed_bfloat16
    config.tf32 = False  # let GPUs from the A100 on round the factors of float32 products to 10 bits: faster
    config.jit_compile = False  # compile the network's part of the step with XLA
    config.deterministic = False  # kernels that give the same bits every time, on GPUs too; slower
    config.batch_norm = "replica"  # statistics of each replica's samples; or synchronized, or frozen
    config.profile_steps = ()  # (10, 15): profile these steps for TensorBoard
    config.flip_test = False  # average with the mirror image when predicting, at twice the cost

    config.model = ml_collections.ConfigDict()
    config.model.name = "hrnet"
    config.model.width = 32
    config.model.stem = 64  # channels before the branches
    config.model.modules = (1, 4, 3)  # exchanges between resolutions in stages 2, 3 and 4
    config.model.blocks = 4  # residual units between two exchanges
    config.model.downsample = 1  # average images over 2x2 pixels first, say: four times as fast, and coarser

    config.data = ml_collections.ConfigDict()
    config.data.batch_size = 16  # of all replicas together; 0: replica_batch_size for each
    config.data.replica_batch_size = 0  # 0: batch_size shared out
    config.data.on_damage = "stop"  # or skip damaged records
    config.data.service = ""  # host:port of a tf.data service that reads in this machine's place
    config.data.validation_subjects = (8,)
    config.data.validation_samples = 2048

    config.augment = ml_collections.ConfigDict()
    config.augment.flip = 0.0  # probability of a mirror image
    config.augment.rotation = 0.0  # up to this many degrees
    config.augment.scale = 0.0  # up to this relative change

    config.occlusion = ml_collections.ConfigDict()
    config.occlusion.bank = "occluders.npz"  # written by tools/build_occluders.py
    config.occlusion.probability = 0.5  # that an image is occluded
    config.occlusion.min_count = 1  # objects
    config.occlusion.max_count = 7
    config.occlusion.min_scale = 0.2  # size of an object relative to half its size in VOC
    config.occlusion.max_scale = 1.0

    config.color = ml_collections.ConfigDict()
    config.color.brightness = 0.2  # up to this relative change
    config.color.contrast = 0.2
    config.color.saturation = 0.2
    config.color.hue = 0.2  # up to this share of a whole turn

    config.loss = ml_collections.ConfigDict()
    config.loss.integral = 0.0  # equation 3 of the paper
    config.loss.integral_l1 = 0.0
    config.loss.heatmap = 0.0
    config.loss.released_heatmap = 1.0
    config.loss.distribution = 0.0
    config.heatmap_sigma = 2.0  # of the Gaussian targets, in cells

    config.decoding = ml_collections.ConfigDict()
    config.decoding.method = "unshifted_argmax"  # or argmax, soft_argmax, debiased
    config.decoding.beta = 1.0
    config.decoding.alignment = "half_pixel"  # heatmap cell i at pixel 4i + 1.5; corner: at 4i

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 1e-5
    config.optimizer.weight_decay = 0.05
    config.optimizer.weight_decay_form = "coupled"  # an L2 penalty on the loss; or decoupled
    config.optimizer.decay_biases = True  # and batch normalisation
    config.optimizer.schedule = "step"  # a tenth after each epoch
    config.optimizer.warmup_steps = 0
    config.optimizer.final_fraction = 1.0
    config.optimizer.clip_norm = 0.0  # of all gradients together; 0: no clipping
    config.optimizer.ema = 0.0  # decay of a moving average of the weights, such as 0.999; 0: none

    config.train = ml_collections.ConfigDict()
    config.train.epochs = 3.0
    config.train.half_size_until = 0.0  # share of the steps that see 128x128 images
    config.train.steps_per_call = 10  # between two looks at the progress
    config.train.report_every_steps = 100
    config.train.validate_every_epochs = 0.1
    config.train.checkpoint_every_minutes = 10.0
    config.train.checkpoints_kept = 3  # and the one of the best validation
    return config
