// ---- Drawing: skeletons over the photo or the video, and the 3D poses. Follows page_view.js, whose state it draws.

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

/** Where the image is on the canvas: as large as it fits, in the middle. */
function placeOfImage() {
  const {clientWidth, clientHeight} = overlay.canvas;
  const scale = Math.min(clientWidth / poses.width, clientHeight / poses.height);
  return {scale, left: (clientWidth - scale * poses.width) / 2, top: (clientHeight - scale * poses.height) / 2};
}

function drawOverlay({people}) {
  const context = blank(overlay.canvas), {scale, left, top} = placeOfImage();
  // Half a pixel more on each side: the canvas has a whole number of pixels, so a dark edge would show otherwise.
  if (backdrop()) context.drawImage(backdrop(), left - 0.5, top - 0.5, scale * poses.width + 1, scale * poses.height + 1);
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

/** Camera of the 3D view: maps mm (x right, y down, z away; origin on the floor, centered among the people) to the canvas.
    People stand within `halfX` mm of the origin to each side, and within `halfZ` mm in front of it and behind it. */
function makeCamera(halfX, halfZ) {
  const {clientWidth, clientHeight} = body.canvas;
  const azimuth = state.azimuth * Math.PI / 180, elevation = state.elevation * Math.PI / 180;
  const pixels = state.zoom * Math.min(clientWidth / (2 * halfX + 1600), clientHeight / (2150 + 0.5 * halfZ));
  const distance = 5000 + 3 * halfX;
  return ([x, y, z]) => {
    const down = y + 850;  // relative to half a person's height
    const away = z * Math.cos(azimuth) - x * Math.sin(azimuth);
    const depth = away * Math.cos(elevation) + down * Math.sin(elevation);
    const scale = pixels * distance / Math.max(distance + depth, distance / 5);  // nobody is behind the viewer
    return {
      x: clientWidth / 2 + scale * (x * Math.cos(azimuth) + z * Math.sin(azimuth)),
      y: clientHeight / 2 + scale * (down * Math.cos(elevation) - away * Math.sin(elevation)),
      depth, scale,
    };
  };
}

function drawBodies({people}) {
  const context = blank(body.canvas);
  const together = isTogether(), row = state.person ? 0 : Math.max(0, ...places.values()) * PLACE_MM / 2;
  const [halfX, halfZ] = together ? [ground.radius, ground.radius] : [row, 0];
  const camera = makeCamera(halfX, halfZ);
  drawFloor(context, camera, halfX + 1250, halfZ + 1250);
  const shown = people.filter(isShown), parts = [];
  body.joints = [];
  for (const person of shown) {
    const root = person.root3d_mm ?? [ground?.x, 0, ground?.z];
    const aside = together ? root[0] - ground.x : state.person ? 0 : places.get(person.number) * PLACE_MM - row;
    const away = together ? root[2] - ground.z : 0;
    const floor = Math.max(...person.pose3d_mm.map((place) => (place ? place[1] : -Infinity)));
    const points = person.pose3d_mm.map((place) => place && camera([place[0] + aside, place[1] - floor, place[2] + away]));
    const shadow = person.pose3d_mm.map((place) => place && camera([place[0] + aside, 0, place[2] + away]));
    const bones = bonesOf(points), joints = jointsOf(person, points);
    drawLines(context, bones.map((bone) => bone.map((joint) => shadow[joint])), {
      globalAlpha: 0.4, lineCap: "round", strokeStyle: "black", lineWidth: 2 * BONE_MM * camera([aside, 0, away]).scale,
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
      const light = clamp(1 - depth / (2500 + 2 * halfZ), 0.55, 1);
      const width = Math.max(2, BONE_MM * (ends[0].scale + ends[1].scale) / 2);
      drawRim(context, ends, width);
      drawBone(context, ends, jointColors[bone[0]].map((level) => light * level), width);
    } else {
      drawJoint(context, part, Math.max(1, 0.33 * BONE_MM * scale));
    }
  }
  for (const person of shown) drawNumber(context, person, body.joints);
}

function drawFloor(context, camera, halfX, halfZ) {
  const {x, y, scale} = camera([0, 0, 0]), half = Math.max(halfX, halfZ);
  const step = 250 * 4 ** Math.max(Math.ceil(Math.log(half / 4000) / Math.log(4)), 0);  // at most 16 lines to each side
  const marks = (end) => Array.from({length: 2 * Math.floor(end / step) + 1}, (_, i) => (i - Math.floor(end / step)) * step);
  const lines = [
    ...marks(halfZ).map((z) => [[-halfX, 0, z], [halfX, 0, z]]),
    ...marks(halfX).map((x) => [[x, 0, -halfZ], [x, 0, halfZ]]),
  ];
  const strokeStyle = context.createRadialGradient(x, y, 0, x, y, half * scale);
  strokeStyle.addColorStop(0.5, FLOOR);
  strokeStyle.addColorStop(1, `${FLOOR}00`);
  drawLines(context, lines.map((line) => line.map(camera)), {globalAlpha: 1, strokeStyle, lineWidth: 1});
}
