// Owns the theme: the reader's choice (auto, light, dark) in localStorage and data-theme on <html>.
//
// A classic script that blocks, not a module: a module runs after the first paint, and the page would flash. Any
// element with data-theme-switch turns to the next choice; the event smon:theme on document says that colours changed.
(function () {
  "use strict";

  const KEY = "smon.theme";
  const CHOICES = ["auto", "dark", "light"];
  const WORDS = { auto: "Theme: as the system", dark: "Theme: dark", light: "Theme: light" };
  const systemIsLight = matchMedia("(prefers-color-scheme: light)");

  let choice = stored();
  let printing = false;

  function stored() {
    try {
      const value = localStorage.getItem(KEY);
      return CHOICES.includes(value) ? value : "auto";
    } catch (refused) {
      return "auto";  // storage is forbidden here: the choice lasts as long as the page
    }
  }

  function keep() {
    try {
      localStorage.setItem(KEY, choice);
    } catch (refused) {
      console.info("The theme is not kept: this browser refuses storage.");
    }
  }

  function colours() {
    if (printing) return "light";  // dark paper is ink
    if (choice === "auto") return systemIsLight.matches ? "light" : "dark";
    return choice;
  }

  function apply() {
    const root = document.documentElement;
    root.dataset.themeChoice = choice;
    if (root.dataset.theme !== colours()) {
      root.dataset.theme = colours();
      document.dispatchEvent(new Event("smon:theme"));
    }
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.setAttribute("aria-label", WORDS[choice]);
      button.title = WORDS[choice];
    }
  }

  function next() {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    keep();
    apply();
  }

  function print(begins) {
    printing = begins;
    apply();
  }

  apply();
  systemIsLight.addEventListener("change", apply);
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  addEventListener("storage", (event) => {
    if (event.key === KEY) {
      choice = stored();
      apply();
    }
  });
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-switch]")) next();
  });
})();
