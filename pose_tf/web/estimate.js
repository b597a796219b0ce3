// ---- From pixels to poses: crops, LiteRT and boxes. Computes what pose_tf computes in Python, with the same numbers:
// positions are rounded to float32 where they are there, since models in int8 react to a few pixels of another rounding.

const CROP_SIZE = 256;
const MEAN_COLOR = [0.485, 0.456, 0.406].map((level) => 255 * level);  // of pixels outside of the image
const STRIP_PIXELS = 1 << 20;  // read at a time
const SEEN = 0.3, FEWEST_SEEN = 6;  // confidence and number of joints to which a box is fitted
const SHARED_BY_JOINTS = 0.5, SIZES_OF_JOINTS = [0.25, 2];  // of a person's box and the box of the joints
const LEAST_CERTAINTY = 0.4;  // mean confidence of the joints of a person who was searched for
const WINDOWS = [[1, 0.5], [0.6, 0.5]];  // of the search: sides over the picture's shorter one, steps over the side
const CANDIDATES = 3;  // windows to which a box is fitted
const FIELD_OF_VIEW_DEG = 55;  // of the longer side of an image, a guess
const round = Math.fround;
let timings = [];  // of the estimates in the last second: when each ended, and the milliseconds that it took

/** The square around a box [x, y, width, height], measured from the image's outer edge. See geometry.Crop. */
function cropAround(box, margin) {
  const [x, y, width, height] = box.map(round), side = round(round(margin) * Math.max(width, height));
  const corner = (start, extent) => round(start + round(round(extent - side) / 2));
  return {x: corner(x, width), y: corner(y, height), side};
}

/** How the pixels of a crop average those of an image of this size, in one dimension: triangles that are at least as wide
    as a pixel of either. Crop pixels `start` to `end` have their center in the image; the weights of pixel i begin at
    `offsets[i]` and belong to image pixels `firsts[i]` and next. */
function averages(corner, side, size) {
  const step = round(side / CROP_SIZE), reach = Math.max(step, 1);
  const firsts = new Int32Array(CROP_SIZE), offsets = new Int32Array(CROP_SIZE + 1), weights = [];
  let start = CROP_SIZE, end = 0;
  for (let i = 0; i < CROP_SIZE; i++) {
    const center = round(round((i + 0.5) * step) + round(corner));
    offsets[i + 1] = offsets[i];
    if (center < 0 || center > size) continue;
    start = Math.min(start, i);
    end = i + 1;
    const [first, last] = [Math.ceil(center - reach - 0.5), Math.floor(center + reach - 0.5)].map((x) => clamp(x, 0, size - 1));
    const own = [];
    for (let x = first; x <= last; x++) own.push(round(Math.max(1 - Math.abs(x + 0.5 - center) / reach, 0)));
    const sum = own.reduce((a, b) => round(a + b));
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
  const pixels = new Uint8ClampedArray(3 * CROP_SIZE ** 2);  // rounds what it gets
  for (let i = 0; i < pixels.length; i++) pixels[i] = MEAN_COLOR[i % 3];
  if (columns.start < columns.end && rows.start < rows.end) {
    const left = columns.firsts[columns.start], width = past(columns, columns.end - 1) - left;
    averageColumns(averageRows(image, left, width, rows), left, width, columns, rows, pixels);
  }
  return new Uint8Array(pixels.buffer);
}

const past = ({firsts, offsets}, i) => firsts[i] + offsets[i + 1] - offsets[i];  // the image pixels of crop pixel i

/** Averages lines of an image to lines of the crop, RGB, still as wide as in the image. */
function averageRows(image, left, width, rows) {
  const lines = new Float32Array(3 * width * CROP_SIZE), bottom = past(rows, rows.end - 1);
  const height = Math.max(1, Math.floor(STRIP_PIXELS / width));
  let row = rows.start;  // the first that is not complete
  for (let top = rows.firsts[rows.start]; top < bottom; top += height) {
    const count = Math.min(height, bottom - top), data = readPixels(image, left, top, width, count);
    for (let line = 0; line < count; line++) {
      while (past(rows, row) <= top + line) row++;
      for (let i = row; i < rows.end && rows.firsts[i] <= top + line; i++) {
        const weight = rows.weights[rows.offsets[i] + top + line - rows.firsts[i]];
        for (let from = 4 * width * line, to = 3 * width * i; to < 3 * width * (i + 1); from += 4, to += 3) {
          lines[to] += round(weight * data[from]);
          lines[to + 1] += round(weight * data[from + 1]);
          lines[to + 2] += round(weight * data[from + 2]);
        }
      }
    }
  }
  return lines;
}

function averageColumns(lines, left, width, columns, rows, pixels) {
  const {firsts, offsets, weights} = columns;
  for (let row = rows.start; row < rows.end; row++) {
    for (let i = columns.start; i < columns.end; i++) {
      let red = 0, green = 0, blue = 0, from = 3 * (width * row + firsts[i] - left);
      for (let k = offsets[i]; k < offsets[i + 1]; k++, from += 3) {
        const weight = weights[k];
        red = round(red + round(weight * lines[from]));
        green = round(green + round(weight * lines[from + 1]));
        blue = round(blue + round(weight * lines[from + 2]));
      }
      const to = 3 * (CROP_SIZE * row + i);
      pixels[to] = red;
      pixels[to + 1] = green;
      pixels[to + 2] = blue;
    }
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
  const inImage = (position, corner) => round(round(round(round(position + 0.5) * scale) + corner) - 0.5);
  const pixels = poses.joints.map((_, i) => [inImage(pose2d[2 * i], crop.x), inImage(pose2d[2 * i + 1], crop.y)]);
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
  const [low, high] = [Math.min, Math.max].map((most) =>
    [0, 1].map((axis) => round(most(...seen.map((pixel) => pixel[axis])) + 0.5)));
  return [...low, ...[0, 1].map((axis) => Math.max(round(high[axis] - low[axis]), 1))];
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
