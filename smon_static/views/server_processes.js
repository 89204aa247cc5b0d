// The processes of one server, now and at each moment that the hub still knows.

import { h } from "../dom.js";
import { RANGES, history, historyQuestion } from "./history.js";
import { momentSlider } from "./moment_slider.js";
import { processes } from "./processes.js";
import { serverPage } from "./server_page.js";

const LOOK_BACK = RANGES.filter(([hours]) => hours <= 168);  // processes are kept for days, not for months

export function mount(root, { id }) {
  const parts = [history({ title: "Look back", ranges: LOOK_BACK, below: momentSlider(), low: true }), processes()];
  return serverPage(root, id, { tab: "/processes", word: () => "Processes", question: historyQuestion, parts,
    body: h("div", { class: "panel-column" }, parts.map((part) => part.el)) });
}
