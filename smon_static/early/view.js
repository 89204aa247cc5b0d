// Fetches what a list of the servers needs beside all other modules; which view is wanted is known before they run.
// overview.js decides: where this is wrong, a module comes later or for nothing.
(function () {
  "use strict";

  const MODULES = ["list.js", "table.js", "views/servers.js"];
  if (location.pathname !== "/" || view() !== "list") return;
  for (const name of MODULES) {
    const link = document.createElement("link");
    link.rel = "modulepreload";
    link.href = new URL(name, document.currentScript.src);
    document.head.append(link);
  }

  function view() {
    const asked = new URLSearchParams(location.search).get("view");
    try {
      return asked || localStorage.getItem("smon.view") || localStorage.getItem("smon.usual");
    } catch (refused) {
      return asked;  // storage is forbidden here
    }
  }
})();
