"use strict";
// ---- What pages with poses have in common: the state of the view, the canvases, pointers, keys, and the joints' numbers.
// page_draw.js and the script of the page follow in the same element. The latter defines what the others use: `places`,
// `ground`, `backdrop`, `show`, `advance` and `keys`.

const find = (selector) => document.querySelector(selector);
const poses = JSON.parse(find("#poses").textContent);
const jointColors = poses.joints.map((name) => poses.colors[{R: "right", L: "left"}[name.match(/^[LR](?=[A-Z])/)?.[0]] ?? "middle"]);
const STAGE = [32, 34, 40], FLOOR = "#50545f";
const VIEW = {azimuth: 20, elevation: 12, zoom: 1};  // degrees from the direction of the camera
const PLACE_MM = 1000;  // distance between neighboring people
const BONE_MM = 44;

const overlay = {canvas: find("#overlay canvas"), tip: find("#overlay .tip"), joints: []};
const body = {canvas: find("#body canvas"), tip: find("#body .tip"), joints: []};
const state = {playing: false, turning: false, together: true, person: 0, hovered: null, ...VIEW};  // person 0: everyone

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const written = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–");
const isTogether = () => Boolean(ground && state.together && !state.person);
const isShown = ({number}) => !state.person || number === state.person;
const isHovered = ({number}, joint) => state.hovered?.person === number && state.hovered.joint === joint;

// ---- State and drawing: every change redraws everything

let waiting = 0, lastDrawn = null;
function redraw() {
  waiting ||= requestAnimationFrame((now) => {
    waiting = 0;
    const isMoving = state.playing || state.turning;
    const seconds = isMoving && lastDrawn !== null ? Math.min((now - lastDrawn) / 1000, 0.25) : 0;
    if (state.turning) state.azimuth += 20 * seconds;
    if (state.playing) advance(seconds);
    lastDrawn = isMoving ? now : null;
    show();
    if (isMoving) redraw();
  });
}

function change(changes) {
  Object.assign(state, changes);
  state.elevation = clamp(state.elevation, -5, 90);
  state.zoom = clamp(state.zoom, 0.4, 8);
  redraw();
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

/** Shows the numbers of a person, or of nobody. */
function showNumbers(caption, person) {
  find("caption").textContent = caption;
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

const resetView = () => change({...VIEW, turning: false});
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
  const act = keys[name] ?? viewKeys[name];
  if (!act) return;
  event.preventDefault();
  act();
});
body.canvas.addEventListener("dblclick", resetView);
find("#reset").addEventListener("click", resetView);
find("#turn").addEventListener("click", () => change({turning: !state.turning}));

// ---- Static content

for (const [side, color] of Object.entries(poses.colors)) find(`[data-side=${side}]`)?.style.setProperty("--side", `rgb(${color})`);
poses.joints.forEach((name, joint) => {
  const heading = Object.assign(document.createElement("th"), {scope: "row", className: "side", textContent: name});
  heading.style.setProperty("--side", `rgb(${jointColors[joint]})`);
  const row = find("tbody").insertRow();
  row.append(heading);
  for (let column = 0; column < 6; column++) row.insertCell();
});
