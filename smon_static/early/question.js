// Asks the overview's question while the modules are still on their way; hub.js takes the answer up when it asks.
// A classic script: a module would come too late. What the browser does not show yet is not asked for.
(function () {
  "use strict";

  const PATH = "/api/dashboard?view=cards";
  const DEADLINE_MS = 15000;
  if (location.pathname !== "/" || document.hidden) return;
  const early = globalThis.earlyAnswer = { path: PATH, askedAt: Date.now(), arrivedAt: null, answer: null };
  early.answer = fetch(PATH, { cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) });
  early.answer.then(() => { early.arrivedAt = Date.now(); }, () => {});  // whoever takes it up says what failed
})();
