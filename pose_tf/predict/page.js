"use strict";
const find = (selector) => document.querySelector(selector);
const poses = JSON.parse(find("#poses").textContent);
for (const {people} of poses.frames) for (const person of people) person.number = person.person;
const isVideo = poses.fps !== null;
const duration = isVideo ? poses.frames.at(-1).time_s + 1 / poses.fps : 0;
const jointColors = poses.joints.map((name) => poses.colors[{R: "right", L: "left"}[name.match(/^[LR](?=[A-Z])/)?.[0]] ?? "middle"]);
const STAGE = [32, 34, 40], FLOOR = "#50545f";
const VIEW = {azimuth: 20, elevation: 12, zoom: 1};  // degrees from the direction of the camera
const PLACE_MM = 1000;  // distance between neighboring people
const BONE_MM = 44;
const CAMERAS = {guess: " for a guessed focal length", exif: " for the focal length in the photo", given: ""};

const overlay = {canvas: find("#overlay canvas"), tip: find("#overlay .tip"), joints: []};
const body = {canvas: find("#body canvas"), tip: find("#body .tip"), joints: []};
const state = {number: 0, clock: 0, playing: false, turning: false, together: true, person: 0, hovered: null, ...VIEW};  // person 0: everyone

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const clockText = (seconds) => {
  const hundredths = Math.round(100 * seconds);  // round first, or 59.999 would become 0:60.00
  return `${Math.floor(hundredths / 6000)}:${(hundredths % 6000 / 100).toFixed(2).padStart(5, "0")}`;
};
const written = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–");
const isTogether = () => Boolean(ground && state.together && !state.person);
const isShown = ({number}) => !state.person || number === state.person;
const isHovered = ({number}, joint) => state.hovered?.person === number && state.hovered.joint === joint;

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
const lastPlace = Math.max(0, ...places.values());

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

// ---- State and drawing: every change redraws everything

let waiting = 0, lastDrawn = null;
function redraw() {
  waiting ||= requestAnimationFrame((now) => {
    waiting = 0;
    const isMoving = state.playing || state.turning;
    if (isMoving && lastDrawn !== null) advance(Math.min((now - lastDrawn) / 1000, 0.25));
    lastDrawn = isMoving ? now : null;
    const frame = poses.frames[state.number];
    drawOverlay(frame);
    drawBodies(frame);
    [overlay, body].forEach(showTip);
    showControls(frame);
    showNumbers(frame);
    if (isMoving) redraw();
  });
}

function change(changes) {
  Object.assign(state, changes);
  state.elevation = clamp(state.elevation, -5, 90);
  state.zoom = clamp(state.zoom, 0.4, 8);
  redraw();
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
  if (state.turning) state.azimuth += 20 * seconds;
  if (!state.playing) return;
  state.clock = isPlayable ? filmTime ?? film.currentTime : (state.clock + seconds * find("#speed").value) % duration;
  state.number = numberAt(state.clock);
}

// ---- The photo or the video under the skeletons

const photo = new Image(), film = find("video");
let isPlayable = Boolean(poses.video), filmTime;  // time of the picture on the screen, if the browser tells

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

function showTip({canvas, tip, joints}) {
  const found = state.hovered?.canvas === canvas && joints.find(({person, joint}) => isHovered(person, joint));
  tip.hidden = !found;
  if (!found) return;
  const {person, joint, x, y} = found;
  const place = (person.pose3d_mm[joint] ?? [null]).map((value) => written(value, 0)).join(", ");
  tip.textContent = `${poses.joints[joint]}${places.size > 1 ? `, person ${person.number}` : ""}
${place} mm\nconfidence ${written(person.confidence[joint], 2)}`;
  tip.style.left = `${clamp(x + 14, 4, canvas.clientWidth - tip.offsetWidth - 4)}px`;
  tip.style.top = `${clamp(y - tip.offsetHeight - 10, 4, canvas.clientHeight - tip.offsetHeight - 4)}px`;
}

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

function showNumbers({time_s: time, people}) {
  const person = people.find(isShown);
  const name = state.person || person ? `Person ${person?.number ?? state.person}` : "Nobody";
  find("caption").textContent = `${name}${isVideo ? ` at ${clockText(time)}` : ""}${person ? "" : ": not in this frame"}`;
  [...find("tbody").rows].forEach((row, joint) => {
    const pixel = person?.pose2d_px[joint], place = person?.pose3d_mm[joint];
    const texts = [0, 1].map((axis) => written(pixel?.[axis], 1)).concat([0, 1, 2].map((axis) => written(place?.[axis], 0)));
    [...texts, written(person?.confidence[joint], 2)].forEach((text, column) => {
      const cell = row.cells[column + 1];
      if (cell.textContent !== text) cell.textContent = text;
    });
    row.classList.toggle("hovered", Boolean(person) && isHovered(person, joint));
  });
}

// ---- Pointers and keys

const pointers = new Map();  // pressed on the 3D view: one rotates, two zoom

body.canvas.addEventListener("pointerdown", (event) => {
  if (pointers.size === 2) return;
  body.canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  change({turning: false});
});
body.canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  pointers.set(event.pointerId, event);
  const other = [...pointers.values()].find((pointer) => pointer !== event);
  if (other) {
    const distance = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
    change({zoom: state.zoom * distance(event) / Math.max(distance(before), 1)});
  } else {
    const across = event.clientX - before.clientX, down = event.clientY - before.clientY;
    change({azimuth: state.azimuth - 0.5 * across, elevation: state.elevation + 0.4 * down});
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  body.canvas.addEventListener(kind, ({pointerId}) => pointers.delete(pointerId));
}
body.canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  change({zoom: state.zoom * Math.exp(-0.0015 * event.deltaY)});
}, {passive: false});

function nearest(joints, {offsetX, offsetY}, reach) {
  const distance = ({x, y}) => Math.hypot(x - offsetX, y - offsetY);
  return joints.filter((joint) => distance(joint) < reach).sort((a, b) => distance(a) - distance(b))[0];
}

for (const view of [overlay, body]) {
  for (const kind of ["pointermove", "pointerdown"]) {
    view.canvas.addEventListener(kind, (event) => {
      const found = nearest(view.joints, event, event.pointerType === "touch" ? 30 : 16);
      change({hovered: found && {canvas: view.canvas, person: found.person.number, joint: found.joint}});
    });
  }
  view.canvas.addEventListener("pointerleave", ({pointerType}) => pointerType !== "touch" && change({hovered: null}));
  new ResizeObserver(redraw).observe(view.canvas);
}
overlay.canvas.addEventListener("click", (event) => {
  if (places.size > 1) change({person: nearest(overlay.joints, event, 40)?.person.number ?? 0});
});

const togglePlaying = () => play(!state.playing);
const resetView = () => change({...VIEW, turning: false});
const playKeys = {
  " ": togglePlaying, ArrowLeft: () => goTo(state.number - 1), ArrowRight: () => goTo(state.number + 1),
};
const viewKeys = {
  "Shift ArrowLeft": () => change({azimuth: state.azimuth + 10}),
  "Shift ArrowRight": () => change({azimuth: state.azimuth - 10}),
  "Shift ArrowUp": () => change({elevation: state.elevation - 5}),
  "Shift ArrowDown": () => change({elevation: state.elevation + 5}),
  "+": () => change({zoom: 1.2 * state.zoom}), "-": () => change({zoom: state.zoom / 1.2}), 0: resetView,
};
document.addEventListener("keydown", (event) => {
  const {key, target} = event;
  if (event.ctrlKey || event.altKey || event.metaKey || target.closest("select")) return;
  if (key === " " && target.closest("button, summary")) return;
  const name = event.shiftKey && key.startsWith("Arrow") ? `Shift ${key}` : key;
  const act = (isVideo && playKeys[name]) || viewKeys[name];
  if (!act) return;
  event.preventDefault();
  act();
});
body.canvas.addEventListener("dblclick", resetView);
find("#reset").addEventListener("click", resetView);
find("#together").addEventListener("click", () => change({together: !isTogether(), person: 0}));
find("#turn").addEventListener("click", () => change({turning: !state.turning}));
find("#play").addEventListener("click", togglePlaying);
find("#speed").addEventListener("change", () => play(state.playing));
find("#slider").addEventListener("input", ({target}) => goTo(Number(target.value)));
find("#person").addEventListener("change", ({target}) => change({person: Number(target.value)}));

// ---- Static content

document.title = find("h1").textContent = poses.source;
document.documentElement.style.setProperty("--aspect", clamp(poses.width / poses.height, 0.5, 2));
for (const [side, color] of Object.entries(poses.colors)) find(`[data-side=${side}]`)?.style.setProperty("--side", `rgb(${color})`);
find("#facts").textContent = `${poses.width} × ${poses.height} pixels, `
  + ({0: "no person", 1: "1 person"}[places.size] ?? `${places.size} people`)
  + (isVideo ? `, ${duration.toFixed(1)} s at ${Number(poses.fps.toFixed(2))} fps` : "");
find("#together").hidden = !ground;
find("#player").hidden = find("#playing-keys").hidden = !isVideo;
find("#slider").max = poses.frames.length - 1;
find("#person").hidden = places.size < 2;
for (const number of [...places.keys()].sort((a, b) => a - b)) find("#person").add(new Option(`person ${number}`, number));
poses.joints.forEach((name, joint) => {
  const heading = Object.assign(document.createElement("th"), {scope: "row", className: "side", textContent: name});
  heading.style.setProperty("--side", `rgb(${jointColors[joint]})`);
  const row = find("tbody").insertRow();
  row.append(heading);
  for (let column = 0; column < 6; column++) row.insertCell();
});
if (!places.size) {
  find("#nobody").hidden = false;
  for (const part of ["#body canvas", "#body figcaption", "#placing", "details", ".keys"]) find(part).hidden = true;
  for (const side of document.querySelectorAll("#overlay .side")) side.hidden = true;
}
redraw();
