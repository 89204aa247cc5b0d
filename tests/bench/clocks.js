// Clocks inside the page, put into each document before its own scripts. What is timed ends when the frame that shows
// it has been made: a message that is sent in a frame comes right after it.
(() => {
  const PARTS = ".card, tbody tr:not(.spacer)";  // a server as a card, and as a row
  const OVERVIEW = "/api/dashboard";
  const json = Response.prototype.json;
  const bench = globalThis.bench = { first: null, refreshes: [], keys: [], next };
  let waiting = () => {};

  /** Do something when the page has nothing else to do; ends when what it causes was measured: to look again and again
   * whether it was would give the page frames to make that no visitor asks for. */
  function next(action) {
    return new Promise((resolve) => { waiting = resolve; requestIdleCallback(action); });
  }

  /** Call back when this task, or the frame that this task makes, is over: before what else may be waiting. */
  function after(call) {
    scheduler.postTask(() => call(performance.now()), { priority: "user-blocking" });
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
    return nextFrame((now) => measured(bench.refreshes, { ...refresh, paint: now - began }));
  }

  function firstPart(began) {
    requestAnimationFrame(() => {
      if (!document.querySelector(PARTS)) firstPart(began);
      else after((now) => { bench.first = { data: now - began, navigation: now }; });
    });
  }

  function measured(list, figure) {
    list.push(figure);
    waiting();
  }

  addEventListener("input", (event) => nextFrame((now) => measured(bench.keys, now - event.timeStamp)), true);
})();
