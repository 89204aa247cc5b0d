// A canvas that fits its box: device pixels, resizing, theme colours, and drawing in animation frames.
// What is drawn on it is the caller's business; drawing happens only when something changed and somebody can see it.

const SHARPEST = 2;  // more device pixels than this cost raster time and show nothing

const style = getComputedStyle(document.documentElement);  // stays up to date by itself
let tokens = {};

/** The present value of a token: token("cpu") reads --cpu. Read once for each theme. */
export const token = (name) => (tokens[name] ??= style.getPropertyValue("--" + name));

/**
 * Put a canvas into host and call paint(context, width, height, ratio), sizes in CSS pixels, when redraw() was called,
 * the size or the theme changed, and for the paper.
 */
export function surface(host, paint) {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const ending = new AbortController();
  let width = 0;
  let height = 0;
  let visible = true;
  let wanted = true;
  let frame = 0;

  const resize = new ResizeObserver(([{ contentRect }]) => {
    width = Math.floor(contentRect.width);
    height = Math.floor(contentRect.height);
    wanted = true;
    if (visible) draw();  // at once: the frame that shows the new size is being made
  });
  const sight = new IntersectionObserver(([{ isIntersecting }]) => {
    visible = isIntersecting;
    if (wanted) redraw();
  });

  function redraw() {
    wanted = true;
    cancelAnimationFrame(frame);
    if (visible) frame = requestAnimationFrame(draw);
  }

  function draw() {
    if (!width) return;
    wanted = false;
    cancelAnimationFrame(frame);
    const ratio = Math.min(SHARPEST, devicePixelRatio);
    const pixels = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    // Setting the size of a canvas takes new memory, so only when it differs.
    if (canvas.width !== pixels.width || canvas.height !== pixels.height) Object.assign(canvas, pixels);
    context.save();
    context.scale(ratio, ratio);
    context.clearRect(0, 0, width, height);
    paint(context, width, height, ratio);
    context.restore();
  }

  host.append(canvas);
  resize.observe(host);
  sight.observe(host);
  document.addEventListener("smon:theme", redraw, ending);
  // No frame comes before the paper.
  addEventListener("beforeprint", draw, ending);
  return {
    redraw,
    stop() {
      cancelAnimationFrame(frame);
      ending.abort();
      resize.disconnect();
      sight.disconnect();
    },
  };
}

document.addEventListener("smon:theme", () => { tokens = {}; });
