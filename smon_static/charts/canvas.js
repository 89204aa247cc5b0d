// A canvas that fits its box: device pixels, resizing, theme colours, and one animation frame for all charts.
// What is drawn on it is the caller's business; drawing happens only when something changed and somebody can see it.

const SHARPEST = 2;  // more device pixels than this cost raster time and show nothing

const surfaces = new Set();
const dirty = new Set();
let frame = 0;
let tokens = new Map();

/** The present value of a token: token("cpu") reads --cpu. Read once for each theme. */
export function token(name) {
  if (!tokens.has(name)) {
    tokens.set(name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim());
  }
  return tokens.get(name);
}

/**
 * Put a canvas into host and call paint(context, width, height, ratio), sizes in CSS pixels, when redraw() was called,
 * the size or the theme changed.
 */
export function surface(host, paint) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true");
  const context = canvas.getContext("2d");
  const self = { canvas, redraw, draw, stop };
  let width = 0;
  let height = 0;
  let visible = true;
  let wanted = true;
  host.append(canvas);

  const resize = new ResizeObserver(([entry]) => {
    width = Math.floor(entry.contentRect.width);
    height = Math.floor(entry.contentRect.height);
    wanted = true;
    if (visible) draw();  // at once: the frame that shows the new size is being made
  });
  const sight = new IntersectionObserver(([entry]) => {
    visible = entry.isIntersecting;
    if (visible && wanted) redraw();
  });

  function redraw() {
    wanted = true;
    if (visible) plan(self);
  }

  function draw() {
    if (!width || !height) return;
    wanted = false;
    dirty.delete(self);
    const ratio = Math.min(SHARPEST, devicePixelRatio || 1);
    fit(canvas, Math.round(width * ratio), Math.round(height * ratio));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    paint(context, width, height, ratio);
  }

  function stop() {
    resize.disconnect();
    sight.disconnect();
    document.removeEventListener("smon:theme", redraw);
    dirty.delete(self);
    surfaces.delete(self);
  }

  surfaces.add(self);
  resize.observe(host);
  sight.observe(host);
  document.addEventListener("smon:theme", redraw);
  return self;
}

/** Setting the size of a canvas clears it and takes new memory, so only when it differs. */
function fit(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

function plan(self) {
  dirty.add(self);
  if (!frame) frame = requestAnimationFrame(drawAll);
}

function drawAll() {
  frame = 0;
  const ready = [...dirty];
  dirty.clear();
  for (const self of ready) self.draw();
}

document.addEventListener("smon:theme", () => { tokens = new Map(); });
addEventListener("beforeprint", () => {
  for (const self of surfaces) self.draw();  // no frame comes before the paper
});
