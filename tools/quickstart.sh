#!/usr/bin/env bash
# The pose in a photo; then, in ten minutes on two cores, training from scratch: sample data, training, evaluation, export,
# prediction.
# Writes everything to quickstart/. Run it again to resume. --latest uses current TensorFlow in .venv-latest and writes
# to quickstart-latest/.
set -euo pipefail
source "$(dirname "$0")/_environment.sh"
python=$venv/bin/python
out=quickstart${venv#.venv}
if [ $# != 0 ]; then
  echo "error: unknown argument '$1'; the only one is --latest" >&2
  exit 1
fi
# On a CPU without bfloat16 instructions, a step in bfloat16 takes four times as long as in float32.
grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo && precision=mixed_bfloat16 || precision=float32
begin=$SECONDS
step() { printf '\n== %s  [%d:%02d]\n' "$1" $(((SECONDS - begin) / 60)) $(((SECONDS - begin) % 60)); }

step "A photo, with the model that comes with the package"
$python tools/predict.py docs/basketball1.png --output_dir=$out/photo
echo "Look at $out/photo/basketball1.views.png; basketball1.html opens in a browser. The rest trains a model of its own."
if [ ! -e $out/data/poses.npz ]; then
  step "Sample data: images of procedural people, in the course's record format"
  $python tools/make_sample_data.py --output_dir=$out/data --num_train=2600 --num_test=200 --num_poses=20000
fi
step "Checking the records"
$python tools/inspect_records.py --data_dir=$out/data --preview=$out/records.png
step "Stage 1: the detector, from image to 2D joints"
$python tools/train.py --config=configs/quickstart_detector.py --config.precision=$precision --data_dir=$out/data \
  --workdir=$out/detector
step "Stage 2: the lifter, from 2D joints to 3D joints"
$python tools/train.py --config=configs/quickstart_lifter.py --config.data.poses=$out/data/poses.npz \
  --workdir=$out/lifter
step "Evaluation on a person whom neither stage has seen"
$python tools/evaluate.py --data_dir=$out/data/test --detector=$out/detector --lifter=$out/lifter \
  --output=$out/report.json --preview=$out/test.png
step "Export for TF Serving"
$python tools/export.py --detector=$out/detector --lifter=$out/lifter --output_dir=$out/model
step "Prediction with the exported model"
$python tools/predict.py --model=$out/model --input=$out/data/photos --boxes=$out/data/photos/boxes.csv \
  --output_dir=$out/poses
step "Done"
cat <<EOF
  a photo          $out/photo/  (basketball1.html opens in a browser)
  records          $out/records.png
  training curves  $out/detector/curves.png  $out/lifter/curves.png
  test images with predicted and true poses  $out/test.png
  predictions      $out/poses/  (person0.html opens in a browser)
  report           $out/report.json
  SavedModel       $out/model/
  TensorBoard      $venv/bin/tensorboard --logdir $out
EOF
