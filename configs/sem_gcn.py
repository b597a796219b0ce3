"""The paper's graph-convolutional lifter: SemGCN with non-local layers.

Reproduces: section 4 of the paper, second stage (AdamW 5e-4, weight decay 0.05, squared error; 20 epochs and batch 16
            as in the released code, which has no non-local layers), trained on true 2D joints.
Published:  PA-MPJPE 62.29 mm behind HRNet-W32 on Human3.6M. This recipe has not been run on Human3.6M yet.
Differs:    from PyTorch's AdamW, which also decays biases and batch normalization (decay_biases = True).
Run:        python tools/train.py --config=configs/sem_gcn.py --data_dir=DATA --workdir=runs/sem_gcn
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.stage = "lifter"
    config.seed = 0
    config.strategy = "auto"  # or one_device, mirrored, multi_worker
    config.init_from = ""  # start from these weights: a workdir, a .keras file or a checkpoint
    config.precision = "float32"  # float32, mixed_float16 or mixed_bfloat16
    config.tf32 = False  # let GPUs from the A100 on round the factors of float32 products to 10 bits: faster
    config.jit_compile = False  # compile the network's part of the step with XLA
    config.deterministic = False  # kernels that give the same bits every time, on GPUs too; slower
    config.batch_norm = "replica"  # statistics of each replica's samples; or synchronized, or frozen
    config.profile_steps = ()  # (10, 15): profile these steps for TensorBoard
    config.flip_test = False  # average with the lifted mirror image when predicting

    config.model = ml_collections.ConfigDict()
    config.model.name = "sem_gcn"
    config.model.raw_pixels = False
    config.model.channels = 128
    config.model.num_blocks = 4
    config.model.non_local = True

    config.data = ml_collections.ConfigDict()
    config.data.poses = ""  # an .npz of poses instead of the records of --data_dir
    config.data.batch_size = 16  # of all replicas together; 0: replica_batch_size for each
    config.data.replica_batch_size = 0  # 0: batch_size shared out
    config.data.on_damage = "stop"  # or skip damaged records
    config.data.validation_subjects = (8,)

    config.augment = ml_collections.ConfigDict()
    config.augment.recompose = False
    config.augment.upper_body_swap = 0.0
    config.augment.arm_swap = 0.0
    config.augment.bone_length_noise = 0.0
    config.augment.noise_px = 0.0

    config.loss = "squared"  # equation 4 of the paper

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 5e-4
    config.optimizer.weight_decay = 0.05
    config.optimizer.weight_decay_form = "decoupled"  # or coupled: an L2 penalty on the loss
    config.optimizer.decay_biases = False  # and batch normalisation
    config.optimizer.schedule = "constant"
    config.optimizer.warmup_steps = 0
    config.optimizer.final_fraction = 1.0
    config.optimizer.clip_norm = 0.0  # of all gradients together; 0: no clipping
    config.optimizer.ema = 0.0  # decay of a moving average of the weights, such as 0.999; 0: none

    config.train = ml_collections.ConfigDict()
    config.train.epochs = 20.0
    config.train.steps_per_call = 100  # between two looks at the progress
    config.train.report_every_steps = 500
    config.train.validate_every_epochs = 1.0
    config.train.checkpoint_every_minutes = 10.0
    config.train.checkpoints_kept = 3  # and the one of the best validation
    return config
