// Clocks inside the page, put into each document before its own scripts. What is timed ends when the frame that shows
// it has been made: a message that is sent in a frame comes right after it.
(() => {
  const PARTS = ".card, tbody tr:not(.spacer)";  // a server as a card, and as a row
  const OVERVIEW = "/api/dashboard";
  const json = Response.prototype.json;
  const bench = globalThis.bench = { first: null, refreshes: [], keys: [] };

  /** Call back when this task, or the frame that this task makes, is over. */
  function after(call) {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); call(performance.now()); };
    port2.postMessage(null);
  }

  const nextFrame = (call) => requestAnimationFrame(() => after(call));

  /** From the moment an answer of the overview is in hand: all that the page does with it runs in this very task. */
  Response.prototype.json = async function timed() {
    const data = await json.call(this);
    if (new URL(this.url).pathname === OVERVIEW) drawn(performance.now());
    return data;
  };

  function drawn(began) {
    if (!bench.first) return firstPart(began);
    const refresh = {};
    after((now) => { refresh.script = now - began; });
    return nextFrame((now) => bench.refreshes.push({ ...refresh, paint: now - began }));
  }

  function firstPart(began) {
    requestAnimationFrame(() => {
      if (!document.querySelector(PARTS)) firstPart(began);
      else after((now) => { bench.first = { data: now - began, navigation: now }; });
    });
  }

  addEventListener("input", (event) => nextFrame((now) => bench.keys.push(now - event.timeStamp)), true);
})();
