// ---- The page of a result file. Follows page_view.js and page_draw.js.

for (const {people} of poses.frames) for (const person of people) person.number = person.person;
const isVideo = poses.fps !== null;
const duration = isVideo ? poses.frames.at(-1).time_s + 1 / poses.fps : 0;
const CAMERAS = {guess: " for a guessed focal length", exif: " for the focal length in the photo", given: ""};
Object.assign(state, {number: 0, clock: 0});

const clockText = (seconds) => {
  const hundredths = Math.round(100 * seconds);  // round first, or 59.999 would become 0:60.00
  return `${Math.floor(hundredths / 6000)}:${(hundredths % 6000 / 100).toFixed(2).padStart(5, "0")}`;
};

/** Place of each person in a row, from 0 on the left. People who never appear together may share a place. */
function findPlaces() {
  const seen = new Map();
  poses.frames.forEach(({people}, number) => people.forEach((person) => {
    if (!seen.has(person.number)) seen.set(person.number, {first: number, x: person.box_px[0] + person.box_px[2] / 2});
    seen.get(person.number).last = number;
  }));
  const lastAt = [], found = new Map();
  for (const [person, {first, last, x}] of [...seen].sort(([, a], [, b]) => a.first - b.first || a.x - b.x)) {
    const free = lastAt.findIndex((other) => other < first);
    found.set(person, free < 0 ? lastAt.length : free);
    lastAt[found.get(person)] = last;
  }
  return found;
}
const places = findPlaces();

/** The part of the floor where people are, without rare outliers: its middle and half of its diagonal in mm, or null. */
function findGround() {
  const roots = poses.frames.flatMap(({people}) => people).flatMap(({root3d_mm: root}) => (root ? [root] : []));
  if (roots.length < 2) return null;
  const [x, z] = [0, 2].map((axis) => {
    const sorted = roots.map((root) => root[axis]).sort((a, b) => a - b), skipped = Math.floor(sorted.length / 50);
    return {low: sorted[skipped], high: sorted[sorted.length - 1 - skipped]};
  });
  return {x: (x.low + x.high) / 2, z: (z.low + z.high) / 2, radius: Math.hypot(x.high - x.low, z.high - z.low) / 2};
}
const ground = findGround();

function show() {
  const frame = poses.frames[state.number];
  drawOverlay(frame);
  drawBodies(frame);
  [overlay, body].forEach(showTip);
  showControls(frame);
  const person = frame.people.find(isShown);
  const name = state.person || person ? `Person ${person?.number ?? state.person}` : "Nobody";
  const when = isVideo ? ` at ${clockText(frame.time_s)}` : "";
  showNumbers(`${name}${when}${person ? "" : ": not in this frame"}`, person);
}

const numberAt = (time) => Math.max(0, poses.frames.findLastIndex(({time_s}) => time_s <= time + 0.001));  // rounded to ms

function goTo(wanted) {
  const number = clamp(wanted, 0, poses.frames.length - 1);
  const {time_s: start} = poses.frames[number], end = poses.frames[number + 1]?.time_s ?? duration;
  change({number, clock: start, playing: false});
  if (!isPlayable) return;
  film.pause();
  film.currentTime = (start + end) / 2;  // at the start, rounding might show the frame before
}

function play(playing) {
  if (state.playing && !playing) return goTo(state.number);  // the video may be a picture ahead
  change({playing});
  film.playbackRate = find("#speed").value;
  if (isPlayable && playing) film.play().catch(() => film.paused && change({playing: false}));
}

function advance(seconds) {
  state.clock = isPlayable ? filmTime ?? film.currentTime : (state.clock + seconds * find("#speed").value) % duration;
  state.number = numberAt(state.clock);
}

// ---- The photo or the video under the skeletons

const photo = new Image(), film = find("video");
let isPlayable = Boolean(poses.video), filmTime;  // time of the picture on the screen, if the browser tells
const backdrop = () => (photo.naturalWidth ? photo : null);

if (poses.photo) {
  photo.onload = redraw;
  photo.src = `data:image/jpeg;base64,${poses.photo}`;
}
if (isPlayable) {
  const bytes = Uint8Array.from(atob(poses.video), (letter) => letter.charCodeAt(0));
  delete poses.video;
  film.src = URL.createObjectURL(new Blob([bytes], {type: "video/mp4"}));
  film.hidden = false;
  film.onerror = () => {
    isPlayable = false;
    film.hidden = true;
    find("#unplayable").hidden = false;
  };
  film.requestVideoFrameCallback?.(function shown(now, {mediaTime}) {
    filmTime = mediaTime;
    film.requestVideoFrameCallback(shown);
  });
}

// ---- Text

function showControls({time_s: time}) {
  const {number} = state;
  find("#play").ariaLabel = state.playing ? "Pause" : "Play";
  find("#slider").value = number;
  find("#slider").ariaValueText = clockText(time);
  find("#readout").textContent = `${clockText(time)} / ${clockText(duration)}, frame ${number + 1} / ${poses.frames.length}`;
  find("#turn").ariaPressed = state.turning;
  find("#together").ariaPressed = isTogether();
  find("#placing").textContent = isTogether() ? `Places on the floor are estimates${CAMERAS[poses.camera.from]}.`
    : places.size > 1 && !state.person ? "People are placed side by side." : "The pose is relative to the hip.";
  find("#person").value = state.person;
}

// ---- Controls

overlay.canvas.addEventListener("click", (event) => {
  if (places.size > 1) change({person: nearest(overlay.joints, event, 40)?.person.number ?? 0});
});

const togglePlaying = () => play(!state.playing);
const keys = isVideo ? {
  " ": togglePlaying, ArrowLeft: () => goTo(state.number - 1), ArrowRight: () => goTo(state.number + 1),
} : {};
find("#together").addEventListener("click", () => change({together: !isTogether(), person: 0}));
find("#play").addEventListener("click", togglePlaying);
find("#speed").addEventListener("change", () => play(state.playing));
find("#slider").addEventListener("input", ({target}) => goTo(Number(target.value)));
find("#person").addEventListener("change", ({target}) => change({person: Number(target.value)}));

// ---- Static content

document.title = find("h1").textContent = poses.source;
document.documentElement.style.setProperty("--aspect", clamp(poses.width / poses.height, 0.5, 2));
find("#facts").textContent = `${poses.width} × ${poses.height} pixels, `
  + ({0: "no person", 1: "1 person"}[places.size] ?? `${places.size} people`)
  + (isVideo ? `, ${duration.toFixed(1)} s at ${Number(poses.fps.toFixed(2))} fps` : "");
find("#together").hidden = !ground;
find("#player").hidden = find("#playing-keys").hidden = !isVideo;
find("#slider").max = poses.frames.length - 1;
find("#person").hidden = places.size < 2;
for (const number of [...places.keys()].sort((a, b) => a - b)) find("#person").add(new Option(`person ${number}`, number));
if (!places.size) {
  find("#nobody").hidden = false;
  for (const part of ["#body canvas", "#body figcaption", "#placing", "details", ".keys"]) find(part).hidden = true;
  for (const side of document.querySelectorAll("#overlay .side")) side.hidden = true;
}
redraw();
