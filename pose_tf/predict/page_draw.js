// ---- Drawing: the image with skeletons, and the 3D poses. Appended to page.js, whose state it draws.

/** Clears a canvas and returns its context. Units are CSS pixels at any screen resolution. */
function blank(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * devicePixelRatio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const context = canvas.getContext("2d");
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

function drawLines(context, lines, style) {
  Object.assign(context, style);
  context.beginPath();
  for (const [start, end] of lines) {
    context.moveTo(start.x, start.y);
    context.lineTo(end.x, end.y);
  }
  context.stroke();
}

function drawBone(context, ends, color, width) {
  drawLines(context, [ends], {lineCap: "round", strokeStyle: `rgb(${color})`, lineWidth: width});
}

/** Dark rim that separates a bone from those behind it. It stops short of the ends, where it would cut into the next bone. */
function drawRim(context, [a, b], width) {
  const between = (share) => ({x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y)});
  drawLines(context, [[between(0.15), between(0.85)]], {lineCap: "butt", strokeStyle: `rgb(${STAGE})`, lineWidth: width + 3});
}

function drawJoint(context, {person, joint, x, y}, radius) {
  const circle = new Path2D();
  circle.arc(x, y, radius, 0, 7);
  context.fillStyle = "white";
  context.fill(circle);
  if (!isHovered(person, joint)) return;
  circle.closePath();
  circle.moveTo(x + radius + 5, y);
  circle.arc(x, y, radius + 5, 0, 7);
  Object.assign(context, {globalAlpha: 1, strokeStyle: "white", lineWidth: 2});
  context.stroke(circle);
}

function drawNumber(context, person, joints) {
  const top = joints.filter((joint) => joint.person === person).sort((a, b) => a.y - b.y)[0];
  if (places.size < 2 || !top) return;
  Object.assign(context, {globalAlpha: 1, fillStyle: "white", strokeStyle: `rgb(${STAGE})`, lineWidth: 4, lineJoin: "round"});
  Object.assign(context, {textAlign: "center", font: "600 13px system-ui, sans-serif"});
  for (const draw of ["strokeText", "fillText"]) context[draw](person.number, top.x, Math.max(top.y - 12, 14));
}

const strength = (person, joint) => clamp(0.1 + 1.8 * person.confidence[joint], 0, 1);  // faint below 0.5
const boneStrength = (person, bone) => Math.min(...bone.map((joint) => strength(person, joint)));
const bonesOf = (points) => poses.bones.filter((bone) => bone.every((joint) => points[joint]));
const jointsOf = (person, points) => points.flatMap((point, joint) => (point ? [{...point, joint, person}] : []));

function drawOverlay({people}) {
  const context = blank(overlay.canvas);
  const {clientWidth, clientHeight} = overlay.canvas;
  const scale = Math.min(clientWidth / poses.width, clientHeight / poses.height);
  const left = (clientWidth - scale * poses.width) / 2, top = (clientHeight - scale * poses.height) / 2;
  const image = imageAt(state.number);
  // Half a pixel more on each side: the canvas has a whole number of pixels, so a dark edge would show otherwise.
  if (image) context.drawImage(image, left - 0.5, top - 0.5, scale * poses.width + 1, scale * poses.height + 1);
  overlay.joints = [];
  for (const person of people) {
    const points = person.pose2d_px.map((pixel) => pixel && {
      x: left + scale * (pixel[0] + 0.5), y: top + scale * (pixel[1] + 0.5),  // pixel centers are at integers
    });
    const joints = jointsOf(person, points);
    const width = clamp(scale * Math.max(person.box_px[2], person.box_px[3]) / 75, 1.5, 5);
    const share = isShown(person) ? 1 : 0.25;
    for (const rim of [0.7 * width, 0]) {
      for (const bone of bonesOf(points)) {
        context.globalAlpha = share * boneStrength(person, bone);
        drawBone(context, bone.map((joint) => points[joint]), rim ? STAGE : jointColors[bone[0]], width + rim);
      }
    }
    for (const joint of joints) {
      context.globalAlpha = share * strength(person, joint.joint);
      drawJoint(context, joint, 0.8 * width);
    }
    overlay.joints.push(...joints);
    drawNumber(context, person, joints);
  }
}

/** Camera of the 3D view: maps mm (x right, y down, z away; origin on the floor, centered among the people) to the canvas. */
function makeCamera(span) {
  const {clientWidth, clientHeight} = body.canvas;
  const azimuth = state.azimuth * Math.PI / 180, elevation = state.elevation * Math.PI / 180;
  const pixels = state.zoom * Math.min(clientWidth / (span + 1600), clientHeight / 2150);
  const distance = 5000 + 1.5 * span;
  return ([x, y, z]) => {
    const down = y + 850;  // relative to half a person's height
    const away = z * Math.cos(azimuth) - x * Math.sin(azimuth);
    const depth = away * Math.cos(elevation) + down * Math.sin(elevation);
    const scale = pixels * distance / (distance + depth);
    return {
      x: clientWidth / 2 + scale * (x * Math.cos(azimuth) + z * Math.sin(azimuth)),
      y: clientHeight / 2 + scale * (down * Math.cos(elevation) - away * Math.sin(elevation)),
      depth, scale,
    };
  };
}

function drawBodies({people}) {
  const context = blank(body.canvas);
  const span = state.person ? 0 : lastPlace * PLACE_MM;
  const camera = makeCamera(span);
  drawFloor(context, camera, span / 2 + 1250);
  const shown = people.filter(isShown), parts = [];
  body.joints = [];
  for (const person of shown) {
    const aside = state.person ? 0 : places.get(person.number) * PLACE_MM - span / 2;
    const floor = Math.max(...person.pose3d_mm.map((place) => (place ? place[1] : -Infinity)));
    const points = person.pose3d_mm.map((place) => place && camera([place[0] + aside, place[1] - floor, place[2]]));
    const shadow = person.pose3d_mm.map((place) => place && camera([place[0] + aside, 0, place[2]]));
    const bones = bonesOf(points), joints = jointsOf(person, points);
    drawLines(context, bones.map((bone) => bone.map((joint) => shadow[joint])), {
      globalAlpha: 0.4, lineCap: "round", strokeStyle: "black", lineWidth: 2 * BONE_MM * camera([aside, 0, 0]).scale,
    });
    for (const bone of bones) {
      const ends = bone.map((joint) => points[joint]);
      const depth = (ends[0].depth + ends[1].depth) / 2;
      parts.push({person, bone, ends, depth});
      for (const end of ends) end.front = Math.min(end.front ?? end.depth, depth);
    }
    for (const joint of joints) parts.push({...joint, depth: (points[joint.joint].front ?? joint.depth) - 1});
    body.joints.push(...joints);
  }
  parts.sort((a, b) => b.depth - a.depth);  // far ones first
  for (const part of parts) {
    const {person, bone, ends, depth, joint, scale} = part;
    context.globalAlpha = bone ? boneStrength(person, bone) : strength(person, joint);
    if (bone) {
      const light = clamp(1 - depth / 2500, 0.55, 1);
      const width = Math.max(2, BONE_MM * (ends[0].scale + ends[1].scale) / 2);
      drawRim(context, ends, width);
      drawBone(context, ends, jointColors[bone[0]].map((level) => light * level), width);
    } else {
      drawJoint(context, part, Math.max(1, 0.33 * BONE_MM * scale));
    }
  }
  for (const person of shown) drawNumber(context, person, body.joints);
}

function drawFloor(context, camera, half) {
  const lines = [], {x, y, scale} = camera([0, 0, 0]);
  for (let z = -1250; z <= 1250; z += 250) lines.push([[-half, 0, z], [half, 0, z]]);
  for (let x = -half; x <= half; x += 250) lines.push([[x, 0, -1250], [x, 0, 1250]]);
  const strokeStyle = context.createRadialGradient(x, y, 0, x, y, half * scale);
  strokeStyle.addColorStop(0.5, FLOOR);
  strokeStyle.addColorStop(1, `${FLOOR}00`);
  drawLines(context, lines.map((line) => line.map(camera)), {globalAlpha: 1, strokeStyle, lineWidth: 1});
}

// ---- Images

const imageNumbers = Object.keys(poses.images).map(Number);
const images = new Map();
let lastImage = null;

const imageNumberAt = (number) => imageNumbers.findLast((other) => other <= number);  // or undefined

/** Image of a frame or of the nearest earlier one; until it is decoded, the image shown before. */
function imageAt(number) {
  const place = imageNumbers.indexOf(imageNumberAt(number));
  if (place < 0) return null;
  for (const wanted of imageNumbers.slice(place, place + 8)) {  // preload the next ones
    if (images.has(wanted)) continue;
    const image = new Image();
    image.onload = redraw;
    image.src = `data:image/jpeg;base64,${poses.images[wanted]}`;
    images.set(wanted, image);
    if (images.size > 32) images.delete(images.keys().next().value);
  }
  const image = images.get(imageNumbers[place]);
  if (image.complete && image.naturalWidth) lastImage = image;
  return lastImage;
}
