// ---- From pixels to poses: crops, LiteRT and boxes. Computes what pose_tf computes in Python, with the same numbers.

const CROP_SIZE = 256;
const MEAN_COLOR = [0.485, 0.456, 0.406].map((level) => 255 * level);  // of pixels outside of the image
const STRIP_PIXELS = 1 << 20;  // read at a time
const SEEN = 0.3, FEWEST_SEEN = 6;  // confidence and number of joints to which a box is fitted
const SHARED_BY_JOINTS = 0.5, SIZES_OF_JOINTS = [0.25, 2];  // of a person's box and the box of the joints
const LEAST_CERTAINTY = 0.4;  // mean confidence of the joints of a person who was searched for
const WINDOWS = [[1, 0.5], [0.6, 0.5]];  // of the search: sides over the picture's shorter one, steps over the side
const CANDIDATES = 3;  // windows to which a box is fitted
const FIELD_OF_VIEW_DEG = 55;  // of the longer side of an image, a guess
let timings = [];  // of the estimates in the last second: when each ended, and the milliseconds that it took

/** The square around a box [x, y, width, height], measured from the image's outer edge. See geometry.Crop. */
function cropAround([x, y, width, height], margin) {
  const side = margin * Math.max(width, height);
  return {x: x + (width - side) / 2, y: y + (height - side) / 2, side};
}

/** How the pixels of a crop average those of an image of this size, in one dimension: triangles that are at least as wide
    as a pixel of either. Crop pixels `start` to `end` have their center in the image; the weights of pixel i begin at
    `offsets[i]` and belong to image pixels `firsts[i]` and next. Positions are rounded to float32, as in Python. */
function averages(corner, side, size) {
  const step = Math.fround(side / CROP_SIZE), reach = Math.max(step, 1);
  const firsts = new Int32Array(CROP_SIZE), offsets = new Int32Array(CROP_SIZE + 1), weights = [];
  let start = CROP_SIZE, end = 0;
  for (let i = 0; i < CROP_SIZE; i++) {
    const center = Math.fround(Math.fround((i + 0.5) * step) + Math.fround(corner));
    offsets[i + 1] = offsets[i];
    if (center < 0 || center > size) continue;
    start = Math.min(start, i);
    end = i + 1;
    const [first, last] = [Math.ceil(center - reach - 0.5), Math.floor(center + reach - 0.5)].map((x) => clamp(x, 0, size - 1));
    const own = [];
    for (let x = first; x <= last; x++) own.push(Math.max(1 - Math.abs(x + 0.5 - center) / reach, 0));
    const sum = own.reduce((a, b) => a + b);
    for (const weight of own) weights.push(weight / sum);
    firsts[i] = first;
    offsets[i + 1] = weights.length;
  }
  return {start, end, firsts, offsets, weights: Float32Array.from(weights)};
}

const stripContext = document.createElement("canvas").getContext("2d", {willReadFrequently: true});

/** RGBA of a part of an image. */
function readPixels(image, left, top, width, height) {
  const {canvas} = stripContext;
  if (canvas.width < width || canvas.height < height) Object.assign(canvas, {width, height});
  stripContext.globalCompositeOperation = "copy";
  stripContext.imageSmoothingEnabled = false;
  stripContext.drawImage(image, left, top, width, height, 0, 0, width, height);
  return stripContext.getImageData(0, 0, width, height).data;
}

/** Cuts a square out of an image and resamples it, RGB. Reads no more of the image than the square covers. */
function squareCrop(image, {x, y, side}) {
  const columns = averages(x, side, image.width), rows = averages(y, side, image.height);
  const sums = new Float32Array(3 * CROP_SIZE ** 2), pixels = new Uint8ClampedArray(3 * CROP_SIZE ** 2);  // rounds
  for (let i = 0; i < pixels.length; i++) pixels[i] = MEAN_COLOR[i % 3];
  if (columns.start >= columns.end || rows.start >= rows.end) return new Uint8Array(pixels.buffer);
  const past = ({end, firsts, offsets}) => firsts[end - 1] + offsets[end] - offsets[end - 1];
  const left = columns.firsts[columns.start], right = past(columns), bottom = past(rows);
  const height = Math.max(1, Math.floor(STRIP_PIXELS / (right - left)));
  const line = new Float32Array(3 * CROP_SIZE);
  let row = rows.start;  // the first that is not complete
  for (let top = rows.firsts[rows.start]; top < bottom; top += height) {
    const data = readPixels(image, left, top, right - left, Math.min(height, bottom - top));
    for (let j = 0; j < height && top + j < bottom; j++) {
      resampleLine(data, 4 * j * (right - left), left, columns, line);
      while (rows.firsts[row] + rows.offsets[row + 1] - rows.offsets[row] <= top + j) row++;
      for (let i = row; i < rows.end && rows.firsts[i] <= top + j; i++) {
        const weight = rows.weights[rows.offsets[i] + top + j - rows.firsts[i]], at = 3 * CROP_SIZE * i;
        for (let k = 3 * columns.start; k < 3 * columns.end; k++) sums[at + k] += weight * line[k];
      }
    }
  }
  for (let i = rows.start; i < rows.end; i++) {
    const at = 3 * CROP_SIZE * i;
    for (let k = 3 * columns.start; k < 3 * columns.end; k++) pixels[at + k] = sums[at + k];
  }
  return new Uint8Array(pixels.buffer);
}

/** Averages the pixels of one line of an image, whose RGBA begin at `at` with pixel `left`. */
function resampleLine(data, at, left, {start, end, firsts, offsets, weights}, line) {
  for (let i = start; i < end; i++) {
    let red = 0, green = 0, blue = 0, from = at + 4 * (firsts[i] - left);
    for (let k = offsets[i]; k < offsets[i + 1]; k++, from += 4) {
      const weight = weights[k];
      red += weight * data[from];
      green += weight * data[from + 1];
      blue += weight * data[from + 2];
    }
    line[3 * i] = red;
    line[3 * i + 1] = green;
    line[3 * i + 2] = blue;
  }
}

// ---- LiteRT

let litert, model;

/** Loads the runtime and the model, whose files lie beside the page. `tell` gets the part of the model that has arrived. */
async function loadModel(tell = () => {}) {
  const address = (path) => new URL(path, document.baseURI).href;
  const bytes = download(address(poses.model.file), tell);
  bytes.catch(() => {});  // awaited below
  litert = await import(address("litert/index.js"));
  await litert.loadLiteRt(address("litert/"));
  model = await litert.loadAndCompile(await bytes, {accelerator: "wasm"});
}

async function download(url, tell) {
  const response = await fetch(url, {cache: "no-cache"});  // the file may have been replaced
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  const total = poses.model.bytes, bytes = new Uint8Array(total), reader = response.body.getReader();
  for (let at = 0; ;) {
    const {done, value} = await reader.read();
    if (done && at === total) return bytes;
    if (done || at + value.length > total) throw new Error(`${url} does not have ${total} bytes`);
    bytes.set(value, at);
    tell((at += value.length) / total);
  }
}

/** Poses in a crop, uint8 RGB: flat arrays `pose2d`, `pose3d` and `confidence`. */
async function estimateCrop(pixels) {
  const tensors = [new litert.Tensor(pixels, [1, CROP_SIZE, CROP_SIZE, 3])];  // of the WebAssembly: nobody else frees them
  try {
    const outputs = await model.run({images: tensors[0]});
    tensors.push(...Object.values(outputs));
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.toTypedArray()]));
  } finally {
    for (const tensor of tensors) tensor.delete();
  }
}

/** The pose of the person in a box of an image, as result files have it. */
async function estimateInBox(image, box) {
  const crop = cropAround(box, poses.model.crop_margin), scale = crop.side / CROP_SIZE, start = performance.now();
  const {pose2d, pose3d, confidence} = await estimateCrop(squareCrop(image, crop));
  const end = performance.now();
  timings = timings.filter((timing) => timing.end > end - 1000).concat({end, ms: end - start});
  await new Promise((resolve) => setTimeout(resolve));  // so that the page stays responsive
  const pixels = poses.joints.map((_, i) => [
    (pose2d[2 * i] + 0.5) * scale + crop.x - 0.5, (pose2d[2 * i + 1] + 0.5) * scale + crop.y - 0.5,
  ]);
  const places = poses.joints.map((_, i) => [...pose3d.subarray(3 * i, 3 * i + 3)]);
  return {
    box_px: box, pose2d_px: pixels, confidence: [...confidence],
    pose3d_mm: poses.model.frame === "sight" ? toCamera(places, pixels[0], image) : places,
  };
}

/** Brings a pose from the frame of the line of sight to the hip to that of the camera. See geometry.to_camera. */
function toCamera(places, hip, {width, height}) {
  const focal = Math.max(width, height) / 2 / Math.tan(FIELD_OF_VIEW_DEG / 2 * Math.PI / 180);
  const ray = [(hip[0] - (width - 1) / 2) / focal, (hip[1] - (height - 1) / 2) / focal, 1];
  const [x, y, z] = ray.map((value) => value / Math.hypot(...ray)), level = Math.max(Math.hypot(x, z), 1e-6);
  const rows = [[z / level, 0, -x / level], [-x * y / level, level, -y * z / level], [x, y, z]];
  return places.map((place) => [0, 1, 2].map((axis) => place.reduce((sum, value, i) => sum + value * rows[i][axis], 0)));
}

// ---- Boxes

/** The box of the joints that are seen, or null if they are too few. */
function boxOfJoints({pose2d_px, confidence}) {
  const seen = pose2d_px.filter((_, joint) => confidence[joint] >= SEEN);
  if (seen.length < FEWEST_SEEN) return null;
  const [low, high] = [Math.min, Math.max].map((most) => [0, 1].map((axis) => most(...seen.map((pixel) => pixel[axis])) + 0.5));
  return [...low, Math.max(high[0] - low[0], 1), Math.max(high[1] - low[1], 1)];
}

/** Whether a box and the box of some joints can be those of one person. */
function isAround(box, joints) {
  const size = Math.max(joints[2], joints[3]) / Math.max(box[2], box[3]);
  const shared = [0, 1].map((axis) =>
    Math.max(Math.min(box[axis] + box[axis + 2], joints[axis] + joints[axis + 2]) - Math.max(box[axis], joints[axis]), 0));
  const smaller = Math.min(box[2] * box[3], joints[2] * joints[3]);
  return size >= SIZES_OF_JOINTS[0] && size <= SIZES_OF_JOINTS[1] && shared[0] * shared[1] / smaller >= SHARED_BY_JOINTS;
}

/** The box to which a person's box is fitted, or null if the joints are hardly those of the person in it. */
function fitted(person) {
  const joints = boxOfJoints(person);
  return joints && isAround(person.box_px, joints) ? joints : null;
}

const certainty = ({confidence}) => confidence.reduce((sum, value) => sum + value, 0) / confidence.length;
const isSure = (person) => Boolean(boxOfJoints(person)) && certainty(person) >= LEAST_CERTAINTY;

/** The pose of the person in a box that somebody has drawn: estimated there, and again in the fitted box. */
async function estimatePerson(image, box) {
  const person = await estimateInBox(image, box), joints = fitted(person);
  return joints ? estimateInBox(image, joints) : person;
}

// ---- Search: the model tells how sure it is of the joints in a box, so a few boxes show where a person is

/** The whole picture, and squares of two sizes that cover it. */
function windowsOf({width, height}) {
  const boxes = [[0, 0, width, height]];
  for (const [share, step] of WINDOWS) {
    const side = share * Math.min(width, height);
    const starts = (length) => {
      const count = Math.ceil((length - side) / (step * side) - 1e-6);
      return Array.from({length: count + 1}, (_, i) => i * (length - side) / Math.max(count, 1));
    };
    for (const y of starts(height)) for (const x of starts(width)) boxes.push([x, y, side, side]);
  }
  return boxes;
}

/** The pose of the person in an image whose joints are surest, or null. */
async function findPerson(image) {
  const inWindows = [], people = [], surest = (a, b) => certainty(b) - certainty(a);
  for (const box of windowsOf(image)) inWindows.push(await estimateInBox(image, box));
  const likely = inWindows.filter(boxOfJoints).sort(surest).slice(0, CANDIDATES);
  for (const candidate of likely) people.push(await estimatePerson(image, boxOfJoints(candidate)));
  return people.filter(isSure).sort(surest)[0] ?? null;
}
