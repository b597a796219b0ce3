// ---- The page that estimates poses itself. Follows page_view.js, page_draw.js and estimate.js.

const LEAST_DRAG_PX = 8;  // a shorter one is a click
const CAMERA_PROBLEMS = {
  NotAllowedError: "The camera was refused. Allow it for this page in the browser's settings.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera cannot be opened. Another program may be using it.",
};

const ground = null, keys = {}, film = find("video");
let image = null;  // what is seen: an ImageBitmap, or a canvas with a frame of the camera
let people = [], places = new Map();
let isSearched = false;  // whether `people` are those in the image
let drawn = [];  // boxes that the user has drawn; without any, the whole picture is searched
let corners = null;  // of the box that is being drawn, in pixels of the image
let stream = null;  // of the camera
let work = 0;  // counts what the user has asked for: whatever was asked for earlier ends
const isLoaded = load();

const backdrop = () => image;

function show() {
  const shown = people.find(isShown), isPhoto = Boolean(image) && !stream;
  drawOverlay({people});
  if (corners) drawBox(boxOfCorners());
  drawBodies({people});
  [overlay, body].forEach(showTip);
  find("#hint").hidden = Boolean(image);
  find("#nobody").hidden = !isSearched || Boolean(people.length);
  find("#placing").textContent = !people.length ? "" : places.size > 1 && !state.person
    ? "People are placed side by side." : "The pose is relative to the hip.";
  find("#whole").hidden = !drawn.length;
  find("#advice").hidden = !isPhoto;
  find("#camera").ariaPressed = Boolean(stream);
  find("#camera").textContent = stream ? "Stop camera" : "Start camera";
  find("#turn").ariaPressed = state.turning;
  document.body.classList.toggle("is-photo", isPhoto);
  if (find("details").open) showNumbers(shown ? `Person ${shown.number}` : "Nobody", shown);
}

function showImage(shown) {
  image = shown;
  const {width, height} = image;
  if (poses.width !== width || poses.height !== height) {
    Object.assign(poses, {width, height});
    document.documentElement.style.setProperty("--aspect", clamp(width / height, 0.5, 2));
  }
  redraw();
}

function showPeople(found, searched = true) {
  people = found.map((person, i) => ({...person, number: i + 1}));
  const middle = ({box_px: [x, , width]}) => x + width / 2;
  const fromLeft = [...people].sort((a, b) => middle(a) - middle(b));
  places = new Map(fromLeft.map(({number}, place) => [number, place]));
  isSearched = searched;
  if (!places.has(state.person)) state.person = 0;
  redraw();
}

/** Shows how fast the estimates of the last second were. */
function showRate() {
  const took = timings.reduce((sum, {ms}) => sum + ms, 0) / timings.length;
  const rate = 1000 * (timings.length - 1) / (timings.at(-1).end - timings[0].end);
  find("#rate").textContent = (stream && timings.length > 1 ? `${written(rate, 0)} frames a second, ` : "")
    + `${written(took, 0)} ms per estimate`;
}

function complain(text) {
  find("#problem").textContent = text;
  find("#problem").hidden = !text;
}

// ---- Loading

async function load() {
  const {file, bytes, precision} = poses.model, bar = find("#loading progress");
  find("#facts").textContent = `${precision} model, ${(bytes / 1e6).toFixed(1)} MB. Pictures stay on this device.`;
  try {
    if (location.protocol === "file:") throw Error("a web server has to deliver this page, such as python -m http.server");
    if (!globalThis.WebAssembly) throw Error("this browser lacks WebAssembly, or forbids it");
    await loadModel((share) => {
      if (share < 1) bar.value = share;
      else bar.removeAttribute("value");  // the runtime starts
    });
    await estimateCrop(new Uint8Array(3 * CROP_SIZE ** 2));  // the first takes longer
    return true;
  } catch (error) {
    complain(`The model ${file} cannot be loaded: ${error.message ?? error}.`);
    return false;
  } finally {
    find("#loading").hidden = true;
  }
}

// ---- Photos

async function openPhoto(file) {
  const number = ++work;
  complain("");
  let photo;
  try {
    photo = await createImageBitmap(file, {colorSpaceConversion: "none"});  // upright, with the numbers of the file
  } catch {
    return complain(`${file.name || "This"} is not an image that the browser can read.`);
  }
  if (number !== work) return;
  closeCamera();
  drawn = [];
  showImage(photo);
  await search();
}

/** Estimates the people in the boxes that the user has drawn, or searches the picture for one. */
async function search() {
  const number = ++work, [shown, boxes] = [image, drawn], found = [];
  showPeople([], false);
  if (!await isLoaded || number !== work) return;
  timings = [];
  find("#rate").textContent = "…";
  for (const box of boxes.length ? boxes : [null]) {
    const person = await (box ? estimatePerson(shown, box) : findPerson(shown));
    if (number !== work) return;
    if (person) found.push(person);
  }
  showPeople(found);
  showRate();
}

find("#file").addEventListener("change", ({target}) => {
  if (target.files.length) openPhoto(target.files[0]);
  target.value = "";  // so that the same file can be chosen again
});
document.addEventListener("paste", ({clipboardData: {files}}) => files.length && openPhoto(files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("is-dropping", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) openPhoto(event.dataTransfer.files[0]);
  });
}
find("#whole").addEventListener("click", () => {
  drawn = [];
  search();
});

// ---- Boxes that are drawn on a photo

const positionOf = ({offsetX, offsetY}) => {
  const {scale, left, top} = placeOfImage();
  return [clamp((offsetX - left) / scale, 0, poses.width), clamp((offsetY - top) / scale, 0, poses.height)];
};
const boxOfCorners = () => {
  const [low, high] = [Math.min, Math.max].map((most) => [0, 1].map((axis) => most(corners[0][axis], corners[1][axis])));
  return [...low, high[0] - low[0], high[1] - low[1]];
};

function drawBox([x, y, width, height]) {
  const {scale, left, top} = placeOfImage(), context = overlay.canvas.getContext("2d");
  for (const [strokeStyle, lineWidth] of [["black", 4], ["white", 2]]) {
    Object.assign(context, {globalAlpha: 1, strokeStyle, lineWidth, lineJoin: "round"});
    context.strokeRect(left + scale * x, top + scale * y, scale * width, scale * height);
  }
}

overlay.canvas.addEventListener("pointerdown", (event) => {
  if (!image || stream || !event.isPrimary) return;
  overlay.canvas.setPointerCapture(event.pointerId);
  corners = [positionOf(event), positionOf(event)];
});
overlay.canvas.addEventListener("pointermove", (event) => {
  if (!corners || !event.isPrimary) return;
  corners[1] = positionOf(event);
  redraw();
});
overlay.canvas.addEventListener("pointerup", (event) => {
  if (!corners || !event.isPrimary) return;
  const box = boxOfCorners();
  corners = null;
  if (Math.min(box[2], box[3]) * placeOfImage().scale >= LEAST_DRAG_PX) {
    drawn = [...drawn, box];
    search();
  } else if (places.size > 1) change({person: nearest(overlay.joints, event, 40)?.person.number ?? 0});
});
overlay.canvas.addEventListener("pointercancel", () => {
  corners = null;
  redraw();
});

// ---- The camera

async function openCamera(deviceId) {
  const number = ++work, size = {width: {ideal: 640}, height: {ideal: 480}};
  complain("");
  let opened;
  try {
    if (!navigator.mediaDevices) throw Error("browsers allow it only over HTTPS or from localhost");
    opened = await navigator.mediaDevices.getUserMedia({video: deviceId ? {...size, deviceId: {exact: deviceId}} : size});
  } catch (error) {
    return complain(CAMERA_PROBLEMS[error.name] ?? `The camera cannot be used: ${error.message}.`);
  }
  closeCamera();
  if (number !== work) return opened.getTracks().forEach((track) => track.stop());
  stream = opened;
  drawn = [];
  const [track] = stream.getVideoTracks();
  track.onended = () => {
    closeCamera();
    complain("The camera has stopped.");
  };
  film.srcObject = stream;
  await film.play();
  await listCameras(track.getSettings().deviceId);
  if (await isLoaded && number === work) await follow(number);
}

async function listCameras(current) {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({kind}) => kind === "videoinput");
  find("#device").replaceChildren(...cameras.map(({label, deviceId}) => new Option(label, deviceId)));
  find("#device").value = current;
  find("#device").hidden = cameras.length < 2;
}

function closeCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  film.srcObject = stream = null;
  find("#device").hidden = true;
  find("#rate").textContent = "";
  redraw();
}

const nextFrame = () => new Promise((resolve) => (film.requestVideoFrameCallback?.(resolve) ?? requestAnimationFrame(resolve)));

/** Estimates the pose of one person in frame after frame. The box is that of the joints in the frame before. While nobody is
    followed, each frame is searched in one window. */
async function follow(number) {
  const frames = [0, 1].map(() => document.createElement("canvas"));  // one is seen, one is being estimated
  timings = [];
  for (let box = null, searched = 0, next = nextFrame(); ;) {
    await next;
    next = nextFrame();  // asked for now, in case it arrives during the estimate
    if (number !== work || !film.videoWidth) return;
    const frame = frames[0], {videoWidth: width, videoHeight: height} = film;
    if (frame.width !== width || frame.height !== height) Object.assign(frame, {width, height});
    frame.getContext("2d").drawImage(film, 0, 0);
    const windows = windowsOf(frame), isFollowed = Boolean(box);
    const person = await estimateInBox(frame, box ?? windows[searched++ % windows.length]);
    if (number !== work) return;
    const isPerson = isFollowed && isSure(person);
    box = !isFollowed ? boxOfJoints(person) : isPerson ? fitted(person) : null;
    showImage(frame);
    showPeople(isPerson ? [person] : []);
    showRate();
    frames.reverse();
  }
}

find("#camera").addEventListener("click", () => {
  if (!stream) return openCamera();
  work++;
  closeCamera();
});
find("#device").addEventListener("change", ({target}) => openCamera(target.value));

// ---- Start

Object.assign(poses, {width: 4, height: 3});
document.documentElement.style.setProperty("--aspect", 4 / 3);
find("details").addEventListener("toggle", redraw);
redraw();
